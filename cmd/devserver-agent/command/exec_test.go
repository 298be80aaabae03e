package command

import (
	"strings"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/support/plainwords"
)

func TestAVerdictIsPrintedWithOneAdvice(t *testing.T) {
	remedy := protocol.Explain(protocol.HDKDiskSpace).Remedy
	for name, c := range map[string]struct{ message, want string }{
		"without advice":         {"There is no room on /.", "FAILED HDK_DISK_SPACE: There is no room on /.\n" + remedy},
		"with the code's remedy": {"There is no room on /. " + remedy, "FAILED HDK_DISK_SPACE: There is no room on /. " + remedy},
		"with its own":           {"There is no room on /. Remove old logs.", "FAILED HDK_DISK_SPACE: There is no room on /. Remove old logs."},
	} {
		got := ended(protocol.Status{Status: protocol.Failed, Code: protocol.HDKDiskSpace, Message: c.message})
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		plainwords.Check(t, protocol.HDKDiskSpace, got)
	}
	if got := ended(protocol.Status{Status: protocol.Failed, Code: "SITE_LUCK", Message: "No luck."}); strings.Contains(got, "\n") {
		t.Errorf("a code that is not known ends with an empty line: %q", got)
	}
}
