package diagnosis

import (
	"strings"
	"testing"

	"devserver-agent/executors"
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
		"not permitted":                          {"[ERROR] The current user does not have the permission.\n", 0, Fail, "says nothing of any test: [ERROR] The current user does not have the permission", "task's output"},
		"not permitted, after a banner":          {"ascend-dmi 6.0.0\n\nERROR: no permission to open the device.\n", 0, Fail, "says nothing of any test: ERROR: no permission to open the device", ""},
		"not permitted, below a heading":         {"Error:\n    The device cannot be opened: permission failure.\n", 0, Fail, "says nothing of any test: The device cannot be opened", ""},
		"not permitted, with an exit status":     {"[ERROR] The current user does not have the permission.\n", 1, Fail, "exit status 1: [ERROR] The current user", ""},
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

// TestNoResultIsLostInAPassingItem puts what says something else than PASS below an item
// that passed, in forms that ascend-dmi is not known to have.
func TestNoResultIsLostInAPassingItem(t *testing.T) {
	const passed = "Summary:\n    Arch: ARM\n    Mode: Atlas 800T A2\nHardware:\n    hbm:\n        PASS\n"
	for name, c := range map[string]struct {
		rest  string
		grade Grade
		what  string
	}{
		"a heading with a hyphen":           {"    signal-quality:\n        FAIL\n", Fail, "signal-quality: FAIL"},
		"a heading with a blank":            {"    aicore stress:\n        EMERGENCY_WARN\n", Fail, "aicore stress: EMERGENCY_WARN"},
		"a heading behind a tab":            {"\taiflops:\n\t\tFAIL\n", Fail, "aiflops: FAIL"},
		"a heading far to the right":        {"            aiflops:\n                FAIL\n", Fail, "aiflops: FAIL"},
		"a heading at the left":             {"aiflops:\n    IMPORTANT_WARN\n", Warn, "aiflops: IMPORTANT_WARN"},
		"one line":                          {"    aiflops: FAIL\n", Fail, "aiflops: FAIL"},
		"one line, with blanks in the name": {"    ai core (stress) : general_warn\n", Warn, "ai core (stress): GENERAL_WARN"},
		"one line, with dots":               {"    aiflops ........ FAIL\n", Fail, "aiflops: FAIL"},
		"one line, with brackets":           {"    aiflops    [FAIL]\n", Fail, "aiflops: FAIL"},
		"one line, with a dash":             {"    aiflops - TIMEOUT\n", Fail, "aiflops: TIMEOUT, a word that this version does not know"},
		"one line, with an arrow":           {"    aiflops -> FAIL\n", Fail, "FAIL"},
		"a list":                            {"  - aiflops: FAIL\n", Fail, "aiflops: FAIL"},
		"a table":                           {"+---+---+\n| item | result |\n+---+---+\n| hbm | PASS |\n| aiflops | FAIL |\n+---+---+\n", Fail, "aiflops: FAIL"},
		"a table with a column a device":    {"| ITEM | RESULT |\n| hbm | PASS | EMERGENCY_WARN | PASS |\n", Fail, "hbm: EMERGENCY_WARN"},
		"a table with a row a device":       {"| item | device | result |\n| hbm | 3 | PASS |\n| hbm | 4 | EMERGENCY_WARN |\n", Fail, "hbm, device 4: EMERGENCY_WARN"},
		"a row a device, without a head":    {"| hbm | 4 | EMERGENCY_WARN |\n", Fail, "hbm, device 4: EMERGENCY_WARN"},
		"a row a chip, the chip first":      {"| Card ID | Chip ID | Item | Result |\n| 2 | 0 | hbm | PASS |\n| 2 | 1 | aicore stress | FAIL |\n", Fail, "aicore stress, card 2, chip 1: FAIL"},
		"a row a device, with its word":     {"| Device 6 | FAIL |\n", Fail, "Device 6: FAIL"},
		"a row with a time and no device":   {"| item | seconds | result |\n| hbm | 4 | FAIL |\n", Fail, "hbm: FAIL, 4"},
		"a row with a number first":         {"| 7 | hbm | FAIL |\n", Fail, "7 hbm: FAIL"},
		"a table with named columns":        {"| item | Device 0 | Device 1 |\n| hbm | PASS | IMPORTANT_WARN |\n", Warn, "hbm: IMPORTANT_WARN, Device 1"},
		"a row that says more":              {"| aiflops | 4 | PASS | 3 timeout errors |\n", Warn, "aiflops, device 4: the test passed, and this version cannot judge what was printed: 3 timeout errors"},
		"a device without a link":           {"network: PASS\n*** Device 3: no link\n", Warn, "network: the test passed, and this version cannot judge what was printed: Device 3: no link"},
		"a device that is down":             {"    network:\n        PASS\n        Device 5: down\n", Warn, "network: the test passed, and this version cannot judge what was printed: Device 5: down"},
		"a device that is not found":        {"    nic: PASS\n        *** Device 1 was not found.\n", Warn, "nic: the test passed, and this version cannot judge what was printed: Device 1 was not found"},
		"a device that cannot be reached":   {"    nic:\n        PASS\n        *** Device 1 cannot be reached.\n", Warn, "nic: the test passed, and this version cannot judge what was printed: Device 1 cannot be reached"},
		"a lack of nothing":                 {"    nic: PASS\n        *** No device is missing, link lost times: 0, no card is gone.\n", Pass, ""},
		"a word of another device":          {"        FAIL\n", Fail, "hbm: FAIL"},
		"a word that was skipped":           {"        SKIP\n", Skip, "hbm: skipped by ascend-dmi"},
		"a word that is not known":          {"        ABNORMAL\n", Fail, "hbm: ABNORMAL, a word"},
		"a word of each device":             {"        Device 0: PASS\n        Device 1: FAIL\n", Fail, "hbm, Device 1: FAIL"},
		"a word after a heading of its own": {"        Device 1:\n            TIMEOUT\n", Fail, "hbm, Device 1: TIMEOUT"},
		"a starred word":                    {"        *** Device 1: EMERGENCY_WARN\n", Fail, "hbm: EMERGENCY_WARN, Device 1"},
		"a word in a sentence":              {"        *** Device 1 ended with FAIL after 3 s.\n", Fail, "hbm: FAIL, Device 1 ended with FAIL after 3 s"},
		"an unknown word in a sentence":     {"        *** Device 1 is DEGRADED.\n", Warn, `hbm: the test passed, and this version cannot judge what was printed: Device 1 is DEGRADED`},
		"a sentence that says trouble":      {"        *** Device 1: a timeout error occurred.\n", Warn, `hbm: the test passed, and this version cannot judge what was printed: Device 1: a timeout error occurred`},
		"a heading and trouble in words":    {"    nic test\n        failed on device 3\n", Warn, "failed on device 3"},
		"a result in the summary":           {"Summary:\n    Result: FAIL\n", Fail, "Result: FAIL"},
		"no result":                         {"    aiflops:\n        device 0 was busy\n", Fail, "aiflops: no result, device 0 was busy"},

		"no result that can be read": {"Test environment:\n    device 0 was busy\n", Warn, "Test environment: no result, and this version cannot judge what was printed: device 0 was busy"},
		"JSON":                       {"{\n  \"aiflops\": \"FAIL\",\n}\n", Fail, "FAIL"},
		"no heading at all":          {"aiflops\n    FAIL\n", Fail, "aiflops: FAIL"},
		"a skipped test in trouble":  {"    aicpu:\n        SKIP\n        *** The driver is in state DEGRADED.\n", Skip, "aicpu: skipped by ascend-dmi, The driver is in state DEGRADED"},
		"the words of hardware":      {"        *** HBM and PCIe of the NPU: ECC is on, 320 TFLOPS, 0 errors.\n", Pass, ""},
		"sentences":                  {"        Details:\n            bandwidth of device 0 is 23 GB/s\n", Pass, ""},
		"a result of each device":    {"        Device 0: PASS\n        Device 1: pass\n", Pass, ""},
		"headings without results":   {"Software:\n    cann:\n        version:\n            HEALTH\n", Pass, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := judgeScene([]byte(passed+c.rest), 0)
			o := NewOutcome("performance", found...)
			if o.Grade != c.grade || c.what == "" && len(found) > 0 || c.what != "" && !strings.Contains(o.Findings[0].What, c.what) {
				t.Errorf("the grade is %s, want %s with %q: %+v", o.Grade, c.grade, c.what, found)
			}
		})
	}
}

func TestWhatIsPrintedBeforeTheFirstTestCounts(t *testing.T) {
	for out, want := range map[string]Grade{
		"ERROR: device 3 is missing.\nHardware:\n    hbm:\n        PASS\n": Warn,
		"FAIL\nHardware:\n    hbm:\n        PASS\n":                        Fail,
		"{\"a\": \"EMERGENCY_WARN\"}\nhbm: PASS\n":                         Fail,
		"The test takes up to 3 h.\nHardware:\n    hbm:\n        PASS\n":   Pass,
	} {
		if _, found := judgeScene([]byte(out), 0); NewOutcome("stress", found...).Grade != want {
			t.Errorf("%q: %+v, want %s", out, found, want)
		}
	}
}

func TestAnyAmountOfOutputIsJudged(t *testing.T) {
	many := func(n int, text string) string { return strings.Repeat(text, n) }
	for name, c := range map[string]struct {
		out   string
		grade Grade
		what  string
	}{
		"a failure in the middle":   {many(10_000, "    hbm:\n        PASS\n") + "    aicpu:\n        FAIL\n" + many(10_000, "    hbm:\n        PASS\n"), Fail, "aicpu: FAIL"},
		"a failure after warnings":  {many(10_000, "    hbm:\n        GENERAL_WARN\n") + "    aicpu:\n        FAIL\n", Fail, "aicpu: FAIL"},
		"many sentences":            {"    hbm:\n        PASS\n" + many(20_000, "        *** loop is done\n") + "        FAIL\n", Fail, "hbm: FAIL"},
		"progress on one line":      {"    hbm:\n" + many(20_000, "\r 10 %") + "\n        PASS\n", Pass, ""},
		"a line that does not end":  {"    hbm:\n        PASS\n" + many(1<<20, "x"), Warn, "was not read"},
		"more than the agent reads": {many(executors.WatchLimit/20, "    hbm:\n        PASS\n "), Warn, "was not read"},
	} {
		t.Run(name, func(t *testing.T) {
			var scene sceneReader
			for at := 0; at < len(c.out); at += 4000 { // pieces end in the middle of lines
				scene.read([]byte(c.out[at:min(at+4000, len(c.out))]))
			}
			if kept := scene.kept(); kept > 256<<10 {
				t.Errorf("%d bytes are kept of %d", kept, len(c.out))
			}
			_, found := scene.judge(0)
			o := NewOutcome("stress", found...)
			if o.Grade != c.grade || c.what != "" && !strings.Contains(o.Findings[0].What, c.what) {
				t.Errorf("the grade is %s, want %s with %q: %+v", o.Grade, c.grade, c.what, o.Findings)
			}
		})
	}
}

// kept is how many bytes the reader keeps.
func (s *sceneReader) kept() int {
	n := cap(s.line)
	for _, list := range [][]dmiItem{s.open, s.pending} {
		for _, item := range list {
			n += len(item.name) + len(item.word) + len(item.unread) + len(strings.Join(item.said, ""))
		}
	}
	return n
}

// A scene of which no test gave a result has one finding, that of the scene.
func TestASceneWithoutATestIsOneFailure(t *testing.T) {
	for out, code := range map[string]int{"[ERROR] The current user does not have the permission.\n": 0, "Fatal error in library libdcmi.so\n": 0, "[ERROR] No permission.\n": 2} {
		if _, found := judgeScene([]byte(out), code); len(found) != 1 || found[0].Grade != Fail {
			t.Errorf("%q: %+v", out, found)
		}
	}
}
