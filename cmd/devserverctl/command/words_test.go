package command

import (
	"bytes"
	"strings"
	"testing"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/test/support/plainwords"
)

func TestWhatIsNotKnownLeavesNoGap(t *testing.T) {
	var trail, full bytes.Buffer
	for out, of := range map[*bytes.Buffer]client.Trail{
		&trail: {ServerID: "a2-7"}, &full: {ServerID: "a2-7", First: 1, Last: 9, Head: "abc"},
	} {
		if err := printTrail(out, of); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		stoppedText(client.Order{By: "ops"}):                    "by ops; nothing new",
		stoppedText(client.Order{By: "ops", Reason: "rc3 bad"}): "by ops: rc3 bad; nothing new",
		strings.TrimSpace(trail.String()):                       "a2-7: the broker has no line of its audit log",
		strings.TrimSpace(full.String()):                        "a2-7: lines 1 to 9, the chain holds; head abc",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q, want ...%s...", text, want)
		}
		plainwords.Check(t, "", text)
	}
}
