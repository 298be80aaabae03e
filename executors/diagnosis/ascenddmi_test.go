package diagnosis

import (
	"strings"
	"testing"
)

func TestTheWordsOfAscendDMI(t *testing.T) {
	item := func(word string, said ...string) string {
		text := "Hardware:\n    bandwidth:\n        " + word + "\n"
		for _, s := range said {
			text += "        *** " + s + "\n"
		}
		return text
	}
	for name, c := range map[string]struct {
		out   string
		code  int
		grade Grade
		what  string // a part of the worst finding; "" for none
		do    string
	}{
		"PASS":                                   {item("PASS"), 0, Pass, "", ""},
		"HEALTH":                                 {item("HEALTH"), 0, Pass, "", ""},
		"SKIP":                                   {item("SKIP"), 0, Skip, "skipped by ascend-dmi", ""},
		"GENERAL_WARN":                           {item("GENERAL_WARN", "Device 2: 7 isolated pages."), 0, Warn, "GENERAL_WARN, Device 2: 7 isolated pages", "may stay in use"},
		"IMPORTANT_WARN":                         {item("IMPORTANT_WARN"), 0, Warn, "IMPORTANT_WARN", "Plan a repair"},
		"a word for each device, the worst last": {item("PASS", "Device 1:") + "        EMERGENCY_WARN\n", 0, Fail, "EMERGENCY_WARN", "out of use"},
		"in colours, on one line":                {"Hardware:\n    \x1b[32mbandwidth: PASS\x1b[0m\n    aiflops : EMERGENCY_WARN\n", 0, Fail, "aiflops: EMERGENCY_WARN", "out of use"},
		"in lower case":                          {item("pass"), 0, Pass, "", ""},
		"EMERGENCY_WARN":                         {item("EMERGENCY_WARN"), 0, Fail, "EMERGENCY_WARN", "out of use"},
		"FAIL":                                   {item("FAIL", "Device 2: it did not end."), 0, Fail, "FAIL, Device 2", "repaired"},
		"an unknown word":                        {item("MINOR_FAULT"), 0, Fail, "MINOR_FAULT, a word that this version does not know", ""},
		"no word":                                {item("Device 2 did not end the test."), 0, Fail, "no result, Device 2", ""},
		"seized":                                 {item("FAIL", "Some processes are seizing the NPU. Test results may be affected."), 0, Fail, "the result is doubtful, as the NPU was in use: FAIL", "idle host before any repair"},
		"occupied":                               {item("GENERAL_WARN", "Device 3 is occupied."), 0, Warn, "the result is doubtful", "idle host"},
		"seized, said once":                      {"Some processes are using the NPU.\n" + item("EMERGENCY_WARN"), 0, Fail, "the result is doubtful", "idle host"},
		"seized, passed":                         {item("PASS", "Some processes are seizing the NPU."), 0, Pass, "", ""},
		"nothing":                                {"", 0, Fail, "says nothing of any test", ""},
		"an exit status":                         {item("PASS"), 3, Fail, "exit status 3", ""},
		"headings":                               {"Hardware:\n    network:\n        nic:\n            PASS\n", 0, Pass, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			examined, found := judgeScene([]byte(c.out), c.code)
			o := NewOutcome("performance", found...)
			if o.Grade != c.grade || examined == "" {
				t.Errorf("the grade is %s after %q: %+v", o.Grade, examined, found)
			}
			switch {
			case c.what == "" && len(found) > 0:
				t.Errorf("found %+v", found)
			case c.what != "" && (!strings.Contains(o.Findings[0].What, c.what) || !strings.Contains(o.Findings[0].Do, c.do)):
				t.Errorf("found %+v, want %q and %q", o.Findings[0], c.what, c.do)
			}
		})
	}
}
