package diagnosis

import (
	"strings"
	"testing"
)

// What a tool said may end in a full stop, or be cut.
func TestASentenceEndsOnce(t *testing.T) {
	for what, want := range map[string]string{
		"npu-smi could not ask it: Failed to query ecc info.": "ecc info. Ask again.",
		"2 pages wait for isolation":                          "isolation. Ask again.",
		"a line that was cut...":                              "cut... Ask again.",
	} {
		var r Report
		r.Add(NewOutcome("ecc", Finding{Fail, what, "Ask again."}))
		if table := r.Table(); !strings.HasSuffix(strings.TrimSpace(table), want) {
			t.Errorf("%q: the table has %q", what, table)
		}
		if message := r.Message(); !strings.Contains(message, strings.Replace(want, "Ask", "Nothing was changed. Ask", 1)) {
			t.Errorf("%q: the message is %q", what, message)
		}
		r = Report{}
		r.Add(NewOutcome("ecc", Finding{Grade: Info, What: what}))
		if table := strings.TrimSpace(r.Table()); strings.HasSuffix(table, "info.") != strings.HasSuffix(what, "info.") || strings.HasSuffix(table, "isolation.") {
			t.Errorf("%q: the table has %q", what, table)
		}
	}
}
