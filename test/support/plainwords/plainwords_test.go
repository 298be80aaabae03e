package plainwords

import (
	"strings"
	"testing"

	"devserver-agent/protocol"
)

func TestWhatIsWrongIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		code    protocol.Code
		printed string
		want    string // the beginning of the one problem; "": none
	}{
		"a good one":        {protocol.HDKInUse, "NPUs are in use: process 4711 (python) holds card 3. Nothing was changed.", ""},
		"a cut text":        {"", "The tool said: Error, see ... for more", ""},
		"two cuts":          {"", "Its SHA-256 is ..., not ....", ""},
		"a version":         {"", "Driver 24.1.0 runs /usr/bin/x at 10:30, see https://a/b.", ""},
		"a range":           {"", "driver 99.9 requires [6.4.0,6.4.99],[7.0.0,7.6.99] of the other, which is .", "a value is missing before"},
		"a slot in between": {"", "The package of  is damaged.", "a value is missing between"},
		"quotation marks":   {"", `There is no server "".`, "an empty quotation"},
		"a name in front":   {"", "(): it failed.", "empty brackets"},
		"a tool's words":    {"", `It is not a list (it is "Count :  ( / %s"), but [  101.000009] {4}[Hardware Error]:  Error 1.`, ""},
		"no reason":         {"", "It failed (). See the output.", "empty brackets"},
		"a reason's colon":  {"", "The installer failed: .", "a colon and nothing"},
		"an end's colon":    {"", "The installer failed:", "a colon and nothing"},
		"two full stops":    {"", "It failed: no room.. Make some.", "two full stops"},
		"two commas":        {"", "Cards 1, , 3 failed.", "two commas"},
		"too few values":    {"", "It failed: %!s(MISSING).", "a format that does not fit"},
		"a nil":             {"", "It failed: <nil>.", "a value that is not there"},

		"a remedy that is said by the message, too": {protocol.HDKDiskSpace, "There is no room. Make room on the file system that is named, then create the job again.", ""},
		"a remedy twice in the message":             {protocol.HDKDiskSpace, "No room. Make some room here. Make some room here.", "it is said twice"},
		"the plug-in that wanted a restart, once":   {protocol.RebootUnavailable, "The plug-in wants the host restarted, which the task does not allow; create the job with is_reboot.", "with and without a restart"},
		"a cancelled job, once":                     {"", "The job was cancelled before the task's turn came. See why the others failed, then create a job for the servers that are left.", "a failure of others"},
		"force":                                     {protocol.HDKVersionMismatch, "The versions do not fit and force does not help.", "with and without force"},
		"nothing to do":                             {protocol.StepInterrupted, "It was cut; nothing is left to do.", "another attempt"},
		"a code that says nothing was changed":      {protocol.HDKInUse, "The driver was installed and then a process came.", "the code means that nothing was done"},
		"a code that says so, and a message, too":   {protocol.HDKInUse, "The driver was not installed.", ""},
		"nothing, and a rollback":                   {"", "Nothing was changed. Driver 24.1.0 was installed again.", "nothing was done and"},
	} {
		got := Problems(c.code, c.printed)
		if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestEveryCodeIsExplainedInPlainWords(t *testing.T) {
	for _, info := range protocol.Codes() {
		// What an operator reads when the message has no advice.
		Check(t, info.Code, "It failed.")
		Check(t, info.Code, info.Meaning)
		for _, problem := range append(emptySlots(info.Meaning+" "+info.Remedy), repeated(info.Meaning+" "+info.Remedy)...) {
			t.Errorf("%s: %s", info.Code, problem)
		}
		for what, text := range map[string]string{"meaning": info.Meaning, "remedy": info.Remedy} {
			if first := text[:1]; first != strings.ToUpper(first) || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: its %s is not a sentence: %q", info.Code, what, text)
			}
		}
		if !protocol.Advises(info.Remedy) {
			t.Errorf("%s: its remedy does not begin with what to do, or with a word that is not in adviceWords of package protocol: %q", info.Code, info.Remedy)
		}
		if protocol.Beside(info.Meaning, info.Remedy) != info.Remedy {
			t.Errorf("%s: its meaning says what to do: %q", info.Code, info.Meaning)
		}
	}
}
