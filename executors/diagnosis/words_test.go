package diagnosis

import (
	"strings"
	"testing"

	"devserver-agent/executors/ascend"
)

func TestLinesOfTheKernelsLogThatSayTrouble(t *testing.T) {
	for line, trouble := range map[string]bool{
		"[ascend] [drv_pcie] Device is abnormal. (dev_id=6; msg_type=3)":                                       true,
		"[ascend] [devdrv] send_msg unsuccessful. (ret=-19; dev_id=6)":                                         true,
		"[ascend] [devdrv] Query state. (ret=-19; dev_id=6)":                                                   true,
		"[ascend] [hdc] Session close. (reason=2; ret=-110)":                                                   true,
		"[ascend] [drv_pcie] Heart beat is not changed. (dev_id=2)":                                            true,
		"[ascend] [drv_pcie] device offline (dev_id=2)":                                                        true,
		"[ascend] [ts] Ts exception, report to host. (devid=1)":                                                true,
		"[ascend] [drv_pcie] Heartbeat lost, notify success. (devid=1)":                                        true,
		"[ascend] [hdc] Wait timeout. (devid=1; timeout=3000)":                                                 true,
		"drv_pcie_host: probe of 0000:c1:00.0 failed with error -12":                                           true,
		"[ascend] [ERROR] [drv_pcie] [devdrv_wait 44] device 6 start up timeout.":                              true,
		"[ascend] [ERROR] [drv_trs] create queue error, no memory. (devid=6)":                                  true,
		"[ascend] [drv_dms] no heart beat from device 6.":                                                      true,
		"[ascend] [drv_pcie] device 6 link down.":                                                              true,
		"[ascend] [drv_pcie] read reg all 0xffffffff, device 6 is dead.":                                       true,
		"[ascend] [ERROR] [drv_hdc] session init error (dev 6).":                                               true,
		"[ascend] [drv_pcie] unable to access config space of device 6.":                                       true,
		"drv_seclib_host: module verification failed: signature and/or required key missing - tainting kernel": false,
		"[ascend] [drv_pcie] register panic notifier success":                                                  false,
		"[ascend] [drv_dms] self test: failed num 0":                                                           false,
		"[ascend] [hdc] set session timeout to 3000 ms":                                                        false,
		"[ascend] [drv_pcie] pcie error handlers installed":                                                    false,
		"[ascend] [drv_pcie] heart beat timer enabled":                                                         false,
		"[ascend] [devmm] lost pages: none":                                                                    false,
		"[ascend] [hdc] Session opened. (devid=1; timeout=3000)":                                               false,
		"[ascend] [drv_pcie] Heartbeat start success. (dev_id=0)":                                              false,
		"[ascend] [drv_pcie] Register exception callback success. (dev_id=0)":                                  false,
		"[ascend] [stat] Counters. (error_cnt=0; lost=0; fail=0)":                                              false,
		"[ascend] [esched] Wait ended by a signal. (ret=-512)":                                                 false,
		"[ascend] [devmm] Device process exited. (hostpid=-1; times=0)":                                        false,
		"[ascend] [davinci_intf] Release module success. (module_name=\"SVM\")":                                false,
		"[ascend] [devdrv_error_handle_init 12] Initialised without error.":                                    false,
		"[ascend] [devmm] Devmm_set_process details. (status=0; proc_idx=2)":                                   false,
		"[ascend] [drv_pcie] Get device status. (ret=0; status=normal; devid=11)":                              false,
	} {
		if ok := ofDriver.MatchString(line) && isTrouble(line); ok != trouble {
			t.Errorf("%q: trouble is %v", line, ok)
		}
	}
}

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

func TestGapsInIdsAreNoMissingCards(t *testing.T) {
	for name, c := range map[string]struct {
		ids   []int
		grade Grade
		what  string
	}{
		"all":                     {[]int{0, 1, 2, 3, 4, 5, 6, 7}, "", ""},
		"every second id":         {[]int{1, 3, 5, 7}, "", ""},
		"two groups":              {[]int{0, 1, 2, 3, 8, 9, 10, 11}, "", ""},
		"two that were given":     {[]int{2, 5}, "", ""},
		"one is missing":          {[]int{0, 1, 2, 4, 5, 6, 7}, Fail, "card 3: not there"},
		"the last is missing":     {[]int{0, 1, 2, 3, 4, 5, 6}, Warn, "7 cards are there"},
		"three, with gaps":        {[]int{0, 2, 9}, "", ""},
		"six, as a rack may have": {[]int{0, 1, 2, 3, 4, 5}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var list []ascend.Card
			for _, id := range c.ids {
				list = append(list, ascend.Card{ID: id})
			}
			found := unusual(list)
			if c.grade == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Grade != c.grade || !strings.HasPrefix(found[0].What, c.what) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestTheHealthOfAChip(t *testing.T) {
	const said = "Failed to query npu chip: 0 info."
	for name, c := range map[string]struct {
		health ascend.ChipHealth
		grade  Grade
		what   string
	}{
		"well":                      {ascend.ChipHealth{State: ascend.StateOK}, Pass, ""},
		"silent":                    {ascend.ChipHealth{State: ascend.StateUnknown, Silent: said}, Fail, "its health is not known: Failed to query npu chip: 0 info"},
		"counted and not mentioned": {ascend.ChipHealth{State: ascend.StateUnknown}, Warn, "its health is not known: the driver does not give it"},
		"silent at first":           {ascend.ChipHealth{State: ascend.StateOK, Silent: said}, Info, "it answered the second time only: Failed to query npu chip: 0 info"},
		"in alarm without codes":    {ascend.ChipHealth{State: ascend.StateAlarm, Detail: "npu-smi failed"}, Fail, "health is Alarm, its codes are not known: npu-smi failed"},
	} {
		t.Run(name, func(t *testing.T) {
			worst, what := Pass, ""
			for _, f := range judgeHealth(c.health) {
				worst, what = worst.Worse(f.Grade), f.What
			}
			if worst != c.grade || what != c.what {
				t.Errorf("%s %q, want %s %q", worst, what, c.grade, c.what)
			}
		})
	}
}
