package hdk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// Lines that ask, and lines that only look so. The sentences are those of Huawei's
// scripts, of makeself, dpkg, mokutil, sudo and ssh.
func TestQuestions(t *testing.T) {
	for line, asks := range map[string]bool{
		"[Driver] [t] [INFO]Do you want to try build driver after input kernel absolute path? [y/n]:":                     true,
		"ERR_NO:0x0002;ERR_DES:input error, please input again!":                                                          true,
		"[Driver] [t] [ERROR]ERR_NO:0x0002;ERR_DES:input error, please input again!":                                      true,
		"[Driver] [t] [WARNING]\x1b[33mRisks exist when the install type is debug, do you want to continue? [y/n]\x1b[0m": true,
		"driver required firmware version not match ,do you want to continue?  [y/n]":                                     true,
		"Please input your kernel absolute path:":                                                                         true,
		"Please type y to accept, n otherwise: ":                                                                          true,
		"*** /etc/hccn.conf (Y/I/N/O/D/Z) [default=N] ? ":                                                                 true,
		"Is this ok [y/d/N]: ":                      true,
		"Proceed? (yes/no)":                         true,
		"Continue with the installation (Y or N)? ": true,
		"Proceed with it? Type yes or no:":          true,
		"是否继续安装？[是/否]":                              true,
		"请输入内核路径：":                                  true,
		"input password: ":                          true,
		"[sudo] password for root: ":                true,
		"Enter passphrase for key 'x':":             true,
		"Press any key to continue":                 true,
		"Press [Enter] to continue...":              true,
		"Hit return to continue":                    true,
		"Select an option [1-3]: ":                  true,
		"Enter choice: ":                            true,
		"Your choice: ":                             true,
		"Do you accept the license terms? [yes|no]": true,
		"Continue installation? y/n":                true,
		"y/n:":                                      true,
		"是否继续安装（y/n）：":                              true,
		"Do you want to continue? [y/n] (try 3)":    true,
		"Go on <y/n>":                               true,
		"Go on {y/n}:":                              true,
		"Go on? [no/yes]":                           true,
		"Go on [Y,n]":                               true,
		"Go on? [y/n] [default: n]":                 true,
		"Go on? [Y/n] (default: Y):":                true,
		"Go on? [y/n] default n":                    true,
		"Input y to continue:":                      true,
		"Please confirm:":                           true,
		"Do you want to continue? [N/y]":            true,
		"Go on (no/yes)?":                           true,
		"Type 'yes' to continue: ":                  true,
		"[Driver] [t] [INFO]Do you want to rebuild the kernel module? ": true,

		"[Driver] [t] [ERROR]Please input the right params and try again.":                                                                            false,
		"[Driver] [t] [INFO]If you want to install or uninstall the driver forcibly, add the force parameter. For details, see [--help].":             false,
		"[Driver] [t] [ERROR]The davinci nodes are occupied by some processes, please stop processes and install or uninstall again, details in : /x": false,
		"[Driver] [t] [INFO]Waiting for device startup...":                                                                                            false,
		"[Driver] [t] [INFO]upgradePercentage:10%":                                                                                                    false,
		"[Driver] [t] [WARNING]Do not power off or restart the system during the installation/upgrade":                                                false,
		"Please make sure that LD_LIBRARY_PATH includes /usr/local/Ascend/driver/lib64":                                                               false,
		"[Driver] [t] [INFO]enter runPackagePath:/root/x":                                                                                             false,
		"[Driver] [t] [INFO]driver install type: DKMS":                                                                                                false,
		"Type of the installation: DKMS":                                                                                                              false,
		"[Driver] [t] [INFO]select dkms":                                                                                                              false,
		"options: [a/b]":                                                                                                                              false,
		"Do you want to continue? default yes":                                                                                                        false,
		"Do you want to overwrite it? [y/n]: y (--quiet)":                                                                                             false,
		"Usage: install.sh [--force (y/n)]":                                                                                                           false,
		"  --answer=(y/n)":                                                                                                                            false,
		"[Driver] [t] [INFO]answered [y/n] with the first":                                                                                            false,
		"": false,
	} {
		for _, end := range []string{"\n", "", "Terminated\n"} { // a prompt has no end of line, and may be ended by a signal
			if end == "Terminated\n" && (!asks || strings.HasSuffix(line, "]\x1b[0m") || strings.Contains(line, "again!")) {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				heard := &transcript{}
				heard.write([]byte("Verifying archive integrity...  100%\n" + line + strings.TrimSuffix(end, "Terminated\n")))
				<-time.After(quiet) // of the bubble
				if heard.hopeless() != asks {
					t.Errorf("%q: hopeless is %v", line+end, !asks)
				}
				heard.write([]byte(strings.TrimPrefix(end, "\n")))
				heard.close()
				if got := heard.why() != ""; got != asks {
					t.Errorf("%q: asks is %v: %s", line+end, got, heard.why())
				}
			})
		}
	}
}

// Of a line without an end a mark is enough, where nothing comes behind it for long.
func TestAQuestionMarkBehindWhichTheCursorWaits(t *testing.T) {
	for line, asks := range map[string]string{
		"cp: overwrite '/etc/hccn.conf'? ": "cp: overwrite '/etc/hccn.conf'?",
		"Abort, Retry, Ignore? ":           "Abort, Retry, Ignore?",
		"继续吗？":                             "继续吗？",
		"What now? What now? What now? ":   "What now?",
		"Building the kernel module: ":     "",
		"Why is that? No matter\n":         "",
		"cp: overwrite '/etc/x'?\n":        "",
	} {
		synctest.Test(t, func(t *testing.T) {
			heard := &transcript{}
			heard.write([]byte(line))
			if heard.open != asks {
				t.Errorf("%q: it asks %q", line, heard.open)
			}
			<-time.After(quiet) // of the bubble
			if got := heard.hopeless(); got != (asks != "") {
				t.Errorf("%q: hopeless is %v", line, got)
			}
		})
	}
}

// An installer may ask and go on by itself; one that does not, or asks again and again, is
// hopeless.
func TestAQuestionIsWaitedBehind(t *testing.T) {
	const ask = "Do you want to continue? [y/n]\n"
	const success = "[Driver] [t] [INFO]Driver package upgraded successfully! The new version takes effect immediately. \n"
	for name, c := range map[string]struct {
		text string
		wait time.Duration
		want bool
	}{
		"just asked":                     {ask, 0, false},
		"nothing since":                  {ask, quiet, true},
		"it went on":                     {ask + "upgradePercentage:40%\n", time.Hour, false},
		"it went on with other words":    {ask + "copying\n", time.Hour, false},
		"asked again and again":          {ask + ask + ask, 0, true},
		"a complaint of the answer":      {ask + "ERR_NO:0x0002;ERR_DES:input error, please input again!\n", 0, true},
		"a prompt behind itself":         {strings.Repeat("Please type y to accept, n otherwise: ", begs), 0, true},
		"a prompt, once":                 {"Please type y to accept, n otherwise: ", 0, false},
		"after the success":              {success + ask, quietAfterSuccess - 1, false},
		"it may go on without a word":    {ask, quiet - 1, false},
		"after the success, for a while": {success + ask, quietAfterSuccess, true},
		"silence without a question":     {"building\n", time.Hour, false},
		"progress between":               {ask + ask + "upgradePercentage:40%\n" + ask, 0, false},
		"the same progress between":      {"upgradePercentage:40%\n" + strings.Repeat(ask+"upgradePercentage:40%\n", begs), 0, true},
		"keys to be pressed":             {"Press any key\ncopying\nPress any key\n", 0, false},
		"one after the other":            {"Do you want A? [y/n]\nDo you want B? [y/n]\nDo you want C? [y/n]\nDo you want D? [y/n]\n", 0, false},
		"asked with words between":       {ask + "trying\n" + ask + "trying\n" + ask + "trying\n", 0, true},
		"a long prompt is ended":         {strings.Repeat("Please type y to accept, n otherwise: ", 100) + "Terminated\nSignal caught, cleaning up\n", 0, true},
		"makeself's words of the signal": {ask + "Signal caught, cleaning up\n", quiet, true},
		"they stand behind the prompt":   {"Please type y to accept, n otherwise: Signal caught, cleaning up\n", quiet, true},
		"bash's words of the signal":     {ask + "./install.sh: line 12:  4711 Terminated              sleep 1000\n", quiet, true},
		"dash's words of the signal":     {ask + "Terminated\n", quiet, true},
		"a line that begins as a prompt": {"Please enter", 0, false},
		"progress that is polled":        {strings.Repeat("upgradePercentage:40%\n", 2*endless), time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				whole, pieces := &transcript{}, &transcript{}
				whole.write([]byte(c.text))
				for i := range c.text {
					pieces.write([]byte(c.text[i : i+1]))
				}
				<-time.After(c.wait) // of the bubble
				if got := whole.hopeless(); got != c.want {
					t.Errorf("hopeless is %v", got)
				}
				if got := pieces.hopeless(); got != c.want {
					t.Errorf("printed in pieces, hopeless is %v", got)
				}
			})
		})
	}
}

// What is printed of the signal with which it is ended does not break the silence: then it
// would have to be waited for once more.
func TestASignalsWordsBreakNoSilence(t *testing.T) {
	for _, ask := range []string{"Do you want to continue? [y/n]\n", "Please type y to accept, n otherwise: "} {
		for _, words := range []string{"Signal caught, cleaning up\n", "Terminated\nSignal caught, cleaning up\n", "./install.sh: line 12:  4711 Terminated              sleep 1000\n"} {
			if strings.HasPrefix(words, "./") && !strings.HasSuffix(ask, "\n") {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				heard := &transcript{}
				heard.write([]byte(ask))
				<-time.After(quiet) // of the bubble
				for i := range words {
					heard.write([]byte(words[i : i+1]))
				}
				if !heard.hopeless() {
					t.Errorf("%q, and then %q: it is let go on", ask, words)
				}
			})
		}
	}
}

// A firmware's installer is ended only where it asks the same again and again with nothing
// between, before its first word of writing, and after its success, unless it goes on.
func TestAFlashIsNeverCut(t *testing.T) {
	const asks = "Do you want to continue? [y/n]\n"
	const success = "[Firmware] [t] [INFO]Firmware package upgraded successfully! Reboot now or after driver installation for the installation/upgrade to take effect.\n"
	const begun = "[Firmware] [t] [INFO]upgradePercentage: 0%\n"
	const complains = "ERR_NO:0x0002;ERR_DES:input error, please input again!\n"
	again := strings.Repeat(asks, begsOfFlash)
	loop := strings.Repeat("sleeping\n", endless)
	for text, want := range map[string]bool{
		asks:               false, // its input has ended: what is silent now works
		asks + asks + asks: false, // once for each chip, maybe
		again:              true,
		strings.Repeat(asks+complains, begsOfFlash):                      true,
		strings.TrimSpace(strings.Repeat("Go on? [y/n]: ", begsOfFlash)): true,
		strings.Repeat(asks+"Start to update device\n", begsOfFlash):     false,
		loop: false, // it may be a word for writing that is not known
		strings.Repeat("\rUpdating the firmware of chips, please wait", 2*endless): false,
		strings.Repeat("x", flood+1): false,
		begun + loop + success:       false, // what it repeated while it wrote is over
		begun + strings.Repeat("line of its own\r", flood/16+1) + success: false,
		"36%\n" + again: false,
		"The firmware of 8 chips will be flashed, do you want to continue? [y/n]\n" + again: true, // it only speaks of it
		"[Firmware] [t] [INFO]current flash version is 234\n" + again:                       true,
		strings.Repeat("Do you want to continue upgrading? [y/n]:\n", begsOfFlash):          true,
		strings.Repeat(success, 2*endless):                                                  true,
		strings.Repeat(success+"[Firmware] [t] [ERROR]no\n", 2*endless):                     true,
		begun + again:                  false,
		begun + loop:                   false,
		again + begun:                  false,
		begun + success + asks:         true, // after a while
		begun + success + loop:         true,
		begun + success + begun + loop: false,
		begun + success + strings.Repeat("x", flood+1) + "\n" + begun + loop:     false,
		begun + strings.Repeat("x", flood+1):                                     false,
		again + "\r[Firmware] [t] [INFO]upgradePercentage: 0%":                   false, // its line has no end yet
		"component 1: 36 %\n" + again:                                            false,
		"Uncompressing ASCEND-HDK-910B-NPU FIRMWARE RUN PACKAGE  100%\n" + again: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			heard := &transcript{flashes: true}
			heard.write([]byte(text))
			<-time.After(max(quiet, quietAfterSuccess)) // of the bubble
			if got := heard.hopeless(); got != want {
				t.Errorf("%.80q and so on: hopeless is %v", text, got)
			}
		})
	}
}

// One that was to be ended is, whatever it says of it, unless it goes on: with progress, or
// to its success.
func TestOnlyProgressTakesGivingUpBack(t *testing.T) {
	for words, want := range map[string]bool{
		"[Driver] [t] [WARNING]A signal was caught\n": true,
		"copying\n": true,
		"[Driver] [t] [INFO]upgradePercentage:10%\n":                                                            true, // it was there before
		"[Driver] [t] [INFO]upgradePercentage:40%\n":                                                            false,
		"[Driver] [t] [INFO]Driver package upgraded successfully! The new version takes effect immediately. \n": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			heard := &transcript{}
			heard.write([]byte("[Driver] [t] [INFO]upgradePercentage:10%\nDo you want to continue? [y/n]\n"))
			<-time.After(quiet) // of the bubble
			if !heard.hopeless() {
				t.Fatal("it is not hopeless")
			}
			heard.write([]byte(words))
			if got := heard.hopeless(); got != want {
				t.Errorf("then %q: hopeless is %v", words, got)
			}
		})
	}
}

// What an installer says behind its prompt is heard.
func TestALineBehindAPrompt(t *testing.T) {
	heard := read(t, "[Driver] [t] [INFO]do you want to continue? [y/n][Driver] [t] [ERROR]The davinci nodes are occupied by some processes, please stop processes and install or uninstall again\n[Driver] [t] [INFO]Failed to upgrade driver package, please retry after uninstall and reboot!\n")
	if len(heard.errors) != 1 || !strings.HasPrefix(heard.errors[0], "The davinci nodes are occupied") || heard.question != "do you want to continue? [y/n]" {
		t.Errorf("errors %q, question %q", heard.errors, heard.question)
	}
	if remedy := heard.whatToDo(1); !strings.HasPrefix(remedy, "Stop what uses the NPUs") {
		t.Error(remedy)
	}
}

// makeself writes a percentage for each 4 MiB into one line, and behind them what is wrong.
func TestWhatIsWrongBehindManyPercentages(t *testing.T) {
	heard := read(t, "Verifying archive integrity..."+strings.Repeat("     1% \b\b\b\b\b\b", 300)+" 100%  Error in SHA256 checksums: 1 is different from 2\n")
	f := heard.checked(install{}, executors.Exit{Code: 2}, false)
	if f.Code != protocol.HDKPackageDamaged || !strings.Contains(f.What, "Error in SHA256 checksums: 1 is different from 2") {
		t.Errorf("got %+v", f)
	}
}

// A question that was passed by is no reason for what came after a success.
func TestASuccessThatIsRefutedIsNoMatterOfTheQuestionBefore(t *testing.T) {
	e := ending(repository.Run, 0, read(t, "Do you want to continue? [y/n]\n[Driver] [t] [INFO]Driver package upgraded successfully! The new version takes effect immediately. \n"))
	e.info, e.infoErr = ascend.VersionInfo{Version: "1.0"}, nil
	if j := e.judge(); j.Effect != failed || j.Remedy != "" {
		t.Errorf("got %+v", j)
	}
}

// Why an installer that did not end by itself failed.
func TestWhyAnInstallerWasEnded(t *testing.T) {
	const asks = "Do you want to continue? [y/n]\n"
	const question = `it asks "Do you want to continue? [y/n]", which nobody can answer here`
	const failing = "[Driver] [t] [ERROR]Something failed, details in : /var/log/ascend_seclog/ascend_install.log\n"
	for name, c := range map[string]struct {
		text    string
		givenUp bool
		why     string
	}{
		"a question":                      {asks, true, question + ", and was ended"},
		"a question behind an error":      {failing + asks, true, question + ", and was ended; it says: Something failed; details are in /var/log/ascend_seclog/ascend_install.log"},
		"an answer that it does not take": {asks + "[Driver] [t] [ERROR]ERR_NO:0x0002;ERR_DES:input error, please input again!\n", true, question + ", and was ended"},
		"its last words of the signal":    {asks + "Signal caught, cleaning up\n", true, question + ", and was ended"},
		"it went on, and printed much":    {asks + "once more\n" + strings.Repeat("x", flood+1) + "\n", true, "it printed more than 4 MiB, and was ended"},
		"it went on, and repeats":         {asks + strings.Repeat("once more\n", endless), true, `it printed "once more" over and over, and was ended`},
		"somebody else ended it":          {asks, false, question + ", and was ended by a signal (terminated)"},
		"somebody else, after it went on": {asks + "copying\n", false, "it was ended by a signal (terminated)"},
		"somebody else, after an error":   {failing, false, "it was ended by a signal (terminated); it says: Something failed; details are in /var/log/ascend_seclog/ascend_install.log"},
	} {
		t.Run(name, func(t *testing.T) {
			heard := &transcript{}
			heard.write([]byte(c.text))
			heard.close()
			e := ending(repository.Run, 143, heard)
			e.Signal, e.givenUp = "terminated", c.givenUp
			if j := e.judge(); j.Effect != failed || j.Reason != c.why {
				t.Errorf("got %+v", j)
			}
			f := e.said.checked(install{}, e.Exit, c.givenUp)
			if want := "the archive of " + (install{}).String() + " fails its own check: " + c.why; f.What != want {
				t.Errorf("as a check, got %s", f.What)
			}
		})
	}
}

// Behind a flood an error of the installer still counts, and takes a success back.
func TestAnErrorBehindAFlood(t *testing.T) {
	heard := &transcript{}
	heard.write([]byte("[Driver] [t] [INFO]Driver package upgraded successfully! The new version takes effect immediately. \n"))
	heard.write([]byte(strings.Repeat("x", flood+1) + "\n[Driver] [t] [ERROR]Something failed\n"))
	if heard.success != "" || !slices.Contains(heard.errors, "Something failed") {
		t.Errorf("success is %q, errors are %q", heard.success, heard.errors)
	}
}

func TestRepetition(t *testing.T) {
	numbered := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "copying file %d\n", i)
		}
		return b.String()
	}
	pair := strings.Repeat("[Driver] [2026-11-28 10:31:02] [INFO]once more\nERR\n", endless)
	for name, c := range map[string]struct {
		text string
		why  string // part of it; "": it is not stuck
	}{
		"the same line":                       {strings.Repeat("once more\n", endless), `"once more" over and over`},
		"two lines in turn, with other times": {pair + strings.Replace(pair, "02]", "03]", 1), `"once more" over and over`},
		"not often enough":                    {strings.Repeat("once more\n", endless-1), ""},
		"other lines":                         {numbered(3 * endless), ""},
		"the same line now and then":          {strings.Repeat("once more\n"+numbered(maxRecent), endless), ""},
		"much":                                {strings.Repeat(numbered(1000)+"====\r", flood/16000), "printed more than 4 MiB"},
		"without an end of line":              {strings.Repeat("x", flood+1), "printed more than 4 MiB"},
		"blank lines":                         {strings.Repeat("\n", flood+1), "printed more than 4 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			heard := &transcript{}
			heard.write([]byte(c.text))
			why := heard.why()
			if !strings.Contains(why, c.why) || (c.why == "") != (why == "") || heard.hopeless() != (c.why != "") {
				t.Errorf("it is stuck because %q", why)
			}
		})
	}
}

// Each remedy says what to do: a general one is not printed beside it then.
func TestEveryRemedySaysWhatToDo(t *testing.T) {
	all := []string{}
	for _, c := range complaints {
		all = append(all, c.remedy)
	}
	for _, remedy := range byExitCode {
		all = append(all, remedy)
	}
	for _, remedy := range all {
		if beside := protocol.Beside("It failed. "+remedy, "Read the message."); beside != "" || !strings.HasSuffix(remedy, ".") {
			t.Errorf("this says nothing to do, or is not a sentence: %s", remedy)
		}
	}
}

func manyErrors(driver string) string {
	var b strings.Builder
	for i := range 2 * maxErrors {
		fmt.Fprintf(&b, "%s[ERROR]chip %d failed\n", driver, i)
	}
	return b.String()
}

// The transcripts of reports, with their exit codes.
func TestReportedTranscripts(t *testing.T) {
	const driver = "[Driver] [2026-11-28 10:31:02] "
	const inLog = ", details in : /var/log/ascend_seclog/ascend_install.log \x1b[0m\n"
	const sound = "Verifying archive integrity...  100%   SHA256 checksums are OK. All good.\n"
	for name, c := range map[string]struct {
		text   string
		code   int
		why    []string // parts of it
		remedy []string
	}{
		"no room in /tmp": {sound + "Not enough space left in /tmp (61440 KB) to decompress /root/Ascend-hdk-910b-npu-driver_25.5.2_linux-aarch64.run (812004 KB)\nUse --target DIR to specify another directory\n", 1,
			[]string{"Not enough space left in /tmp"}, []string{"Make room in /tmp: 61440 KB are free, 812004 KB are needed"}},
		"no tar": {sound + "Uncompressing ASCEND DRIVER RUN PACKAGE Extraction failed.\n ... Decompression failed.\nSignal caught, cleaning up\n", 15,
			[]string{"Extraction failed", "Decompression failed"}, []string{"could not be unpacked", "tar and gzip"}},
		"no gzip": {"Uncompressing ASCEND DRIVER RUN PACKAGE/root/a.run: 1: eval: gzip: not found\n 0% ... Extraction failed.\n ... Decompression failed.\nTerminated\nSignal caught, cleaning up\n", 15,
			[]string{"gzip: not found"}, []string{"Install gzip on the host"}},
		"no xz": {"Extraction failed.\n/root/a.run: line 1: xz: command not found\n", 15,
			[]string{"xz: command not found"}, []string{"Install xz on the host"}},
		"noexec": {sound + "Uncompressing ASCEND DRIVER RUN PACKAGE  100%\n/root/Ascend-hdk-910b-npu-driver_25.5.2_linux-aarch64.run: line 702: ./install.sh: Permission denied\n", 126,
			[]string{"./install.sh: Permission denied"}, []string{"may not be executed", "/tmp", "noexec"}},
		"headers are missing": {driver + "[INFO]upgradePercentage:10%\n" + driver + "[ERROR]\x1b[31mDrv_dkms_env_check failed" + inLog + driver + "[INFO]Failed to install driver package, please retry after uninstall and reboot!\n", 1,
			[]string{"Drv_dkms_env_check failed"}, []string{"kernel-headers", "dkms", "gcc"}},
		"the folder's owner": {driver + "[ERROR]\x1b[31mThe given directory, including its parents, should belong to root" + inLog, 1,
			[]string{"should belong to root"}, []string{"/usr/local/Ascend", "all folders above it to root"}},
		"a reason as information only": {driver + "[INFO]Failed to upgrade driver package, please retry after uninstall and reboot!\n", 1,
			[]string{"Failed to upgrade driver package"}, []string{"what was installed before is gone"}},
		"a folder that its user cannot enter": {driver + "[ERROR]ERR_NO:0x0003;ERR_DES:The HwHiAiUser do not have the permission to access /data/Ascend, please reset the directory to a right permission.\n", 1,
			[]string{"/data/Ascend"}, []string{"Give the user of the installation access to /data/Ascend and"}},
		"an installation of root": {driver + "[ERROR]ERR_NO:0x0091;ERR_DES:username not permission for root (except install-for-all scene), check /etc/ascend_install.info\n", 1,
			[]string{"not permission for root"}, []string{"names root as the user"}},
		"a group that is not the user's": {driver + "[ERROR]ERR_NO:0x0096;ERR_DES:HwHiAiUser or HwHiAiUser is not right! Please check the relatianship of HwHiAiUser and HwHiAiUser\n", 1,
			[]string{"relatianship"}, []string{"into the group"}},
		"an installed script": {"./install.sh: line 40: /usr/local/Ascend/driver/script/post.sh: Permission denied\n", 1,
			[]string{"post.sh: Permission denied"}, []string{"/usr/local/Ascend/driver/script/post.sh may not be executed"}},
		"a script of the archive by its path": {"/var/lib/x/tmp/selfgz4711/driver/script/install.sh: Permission denied\n", 126,
			[]string{"Permission denied"}, []string{"noexec"}},
		"older than the hardware": {driver + "[ERROR]Installation failed, the driver package version=23.0.1 is earlier than the device flash hardware version=24.1.0\n", 1,
			[]string{"is earlier than"}, []string{"needs a newer version"}},
		"a path": {driver + "[ERROR]ERR_NO:0x0003;ERR_DES:install-path only support absolute path , install failed\n", 1,
			[]string{"only support absolute path"}, []string{"Correct the installation's path"}},
		"another path": {driver + "[ERROR]The kernel source path is not found, Driver_ko_install failed\n", 1,
			[]string{"kernel source path"}, []string{"could not be built or loaded"}},
		"a revocation list": {driver + "[ERROR]new device crl check failed\n", 1,
			[]string{"crl check"}, []string{"revocation list"}},
		"a question before a failure": {driver + "[INFO]Do you want to try build driver after input kernel absolute path? [y/n]\ngoing on\n" + driver + "[INFO]Failed to install driver package, please retry after uninstall and reboot!\n", 1,
			[]string{"Failed to install driver package", `it had asked "Do you want to try build driver after input kernel absolute path? [y/n]"`}, []string{"kernel module cannot be built"}},
		"a question before an error": {driver + "[INFO]Do you want to try build driver after input kernel absolute path? [y/n]\ngoing on\n" + driver + "[ERROR]free space only 12M, cannot install driver package\n", 1,
			[]string{"free space only 12M, cannot install driver package (exit code 1)"}, []string{"Make room"}},
		"headers of another version": {driver + "[ERROR]kernel headers version not match\n", 1,
			[]string{"kernel headers version not match"}, []string{"kernel module cannot be built"}},
		"the last of many errors": {driver + "[ERROR]chip failed\n" + manyErrors(driver) + driver + "[ERROR]Version check does not match, please use version 25.2.0 or later.\n", 1,
			[]string{"chip failed / chip 0 failed / (", " more) / Version check does not match, please use version 25.2.0 or later (exit code 1)"}, []string{"newer version"}},
		"flags that it does not know": {sound + "Unrecognized flag : --upgrade\nMakeself version 2.4.5\n 1) Getting help or info about a.run :\n", 1,
			[]string{"Unrecognized flag : --upgrade (exit code 1)"}, []string{"knows other options"}},
		"a sum is wrong": {"Verifying archive integrity...Error in MD5 checksums: 0123 is different from 4567\n", 2,
			[]string{"Error in MD5 checksums"}, []string{"The archive is damaged. Download it"}},
		"a sum is wrong, after percentages": {"Verifying archive integrity...     0% \b\b\b\b\b\b\b   51% \b\b\b\b\b\b\b 100%  Error in checksums: 1 is different from 2\n", 2,
			[]string{"Error in checksums: 1 is different from 2 (exit code 2)"}, []string{"The archive is damaged. Download it"}},
		"shorter": {"Verifying archive integrity... Unexpected archive size.\n", 2,
			[]string{"Unexpected archive size"}, []string{"The archive is damaged. Download it"}},
		"a script that ends too early": {"./install.sh: line 12: syntax error: unexpected end of file\n", 2,
			[]string{"syntax error"}, []string{"damaged"}},
		"fork, without end": {strings.Repeat("./install.sh: fork: retry: Resource temporarily unavailable\n", endless), 254,
			[]string{"fork: retry"}, []string{"TasksMax"}},
		"Secure Boot": {"modprobe: ERROR: could not insert 'drv_seclib_host': Required key not available\n" + driver + "[ERROR]Driver_ko_install_manually failed" + inLog, 1,
			[]string{"Driver_ko_install_manually failed"}, []string{"cannot be loaded"}},
		"a module of another kernel": {"modprobe: ERROR: could not insert 'drv_seclib_host': Exec format error\n", 1,
			[]string{"could not insert"}, []string{"The kernel module was built and cannot be loaded"}},
		"a program of another architecture": {"/root/a.run: line 702: ./driver/tools/x: cannot execute binary file: Exec format error\n", 126,
			[]string{"Exec format error"}, []string{"for another architecture"}},
		"the shell is missing": {"./a.run: 1: ./install.sh: not found\n", 127,
			[]string{"./install.sh: not found"}, []string{"Install bash"}},
		"another bundle, with its number": {driver + "[ERROR]ERR_NO:0x0094;ERR_DES:Operation failed, An all-in-one RUN package is found, which needs to be uninstalled before proceeding.\n", 1,
			[]string{"all-in-one"}, []string{"Uninstall the all-in-one"}},
		"another architecture, with a number": {driver + "[ERROR]ERR_NO:0x0001;ERR_DES:Arch mismatch, src package is aarch64, cur os is x86_64\n" + driver + "[ERROR]The list of missing tools: lspci,\n", 1,
			[]string{"Arch mismatch"}, []string{"another chip or architecture"}},
		"a compiler's syntax error": {"drv.c:12:3: error: syntax error before 'x'\n" + driver + "[ERROR]Driver_ko_install failed" + inLog, 1,
			[]string{"Driver_ko_install failed"}, []string{"could not be built or loaded"}},
		"a program that is missing beside the true error": {"./install.sh: line 3: ifconfig: command not found\n" + driver + "[ERROR]free space only 12M, cannot install driver package\n", 1,
			[]string{"free space only 12M"}, []string{"Make room"}},
		"a number without a sentence": {driver + "[ERROR]ERR_NO:0x0091;ERR_DES:\n", 1,
			[]string{"ERR_NO:0x0091"}, []string{"Add the user"}},
		"a log and nothing else": {driver + "[ERROR]Details in /var/log/ascend_seclog/ascend_install.log\n", 1,
			[]string{"it said nothing; details are in /var/log/ascend_seclog/ascend_install.log"}, nil},
		"the same in other punctuation": {driver + "[ERROR]Driver_ko_install failed\n" + driver + "[ERROR]Driver_ko_install failed.\n" + driver + "[ERROR]Driver_ko_install failed!\n", 1,
			[]string{"Driver_ko_install failed (exit code 1)"}, nil},
		"a title of the terminal": {"\x1b]0;installing\x07" + driver + "[ERROR]Something failed\n", 1,
			[]string{"Something failed (exit code 1)"}, nil},
		"success, and then an error": {driver + "[INFO]Driver package upgraded successfully! The new version takes effect immediately. \n" + driver + "[ERROR]Driver_ko_install failed\n", 0,
			[]string{"Driver_ko_install failed (exit code 0)"}, nil},
		"a sentence of success that is quoted": {"It prints Driver package upgraded successfully! at the end.\n", 0,
			[]string{"it does not say that it installed anything"}, nil},
		"a broken archive": {"gzip: stdin: invalid compressed data--crc error\n", 1,
			[]string{"invalid compressed data"}, []string{"The archive is damaged"}},
		"its script was cut": {"./a.run: 1: MS_Check: not found\n", 127,
			[]string{"MS_Check: not found"}, nil},
		"a log at the end of a sentence": {driver + "[ERROR]Dkms install failed, details in : var/log/ascend_seclog/ascend_install.log.\n", 1,
			[]string{"Dkms install failed; details are in /var/log/ascend_seclog/ascend_install.log (exit code 1)"}, nil},
		"fork": {"./install.sh: fork: retry: Resource temporarily unavailable\n./install.sh: fork: Resource temporarily unavailable\n", 254,
			[]string{"fork: retry"}, []string{"TasksMax"}},
	} {
		t.Run(name, func(t *testing.T) {
			j := ending(repository.Run, c.code, read(t, c.text)).judge()
			if j.Effect != failed {
				t.Errorf("its effect is %s", j.Effect)
			}
			for _, part := range c.why {
				if !strings.Contains(j.Reason, part) {
					t.Errorf("want %q in the reason: %s", part, j.Reason)
				}
			}
			for _, part := range c.remedy {
				if !strings.Contains(j.Remedy, part) {
					t.Errorf("want %q in the remedy: %s", part, j.Remedy)
				}
			}
		})
	}
}

// What an archive's own check comes to.
func TestChecked(t *testing.T) {
	const sound = "Verifying archive integrity...  100%   SHA256 checksums are OK. All good.\n"
	for name, c := range map[string]struct {
		text    string
		exit    executors.Exit
		givenUp bool
		code    protocol.Code // "": it passes
		says    string
	}{
		"sound":                          {sound, executors.Exit{}, false, "", ""},
		"another program's complaint":    {sound + "./install.sh: line 3: ifconfig: command not found\n", executors.Exit{}, false, "", ""},
		"an error behind a question":     {sound + "Go on? [y/n]\n[Driver] [t] [ERROR]Arch mismatch, src package is aarch64, cur os is x86_64\n", executors.Exit{Code: 1}, false, protocol.HDKHostNotReady, "check: Arch mismatch"},
		"a question that was passed by":  {sound + "Go on? [y/n]\nno matter\n", executors.Exit{}, false, "", ""},
		"an error of the installer":      {sound + "[Driver] [t] [ERROR]Arch mismatch, src package is aarch64, cur os is x86_64\n", executors.Exit{}, false, protocol.HDKHostNotReady, "Arch mismatch"},
		"a wrong sum":                    {"Error in MD5 checksums: 1 is different from 2\n", executors.Exit{Code: 2}, false, protocol.HDKPackageDamaged, "Error in MD5 checksums"},
		"no room":                        {"Not enough space left in /x (1 KB) to decompress /y (2 KB)\n", executors.Exit{Code: 1}, false, protocol.HDKDiskSpace, "Not enough space"},
		"no word":                        {"", executors.Exit{Code: 126}, false, protocol.HDKHostNotReady, "it said nothing (exit code 126)"},
		"it asked":                       {"Go on? [y/n]\n", executors.Exit{Code: 143, Signal: "terminated"}, true, protocol.HDKHostNotReady, "it asks"},
		"it was given up and ended well": {"", executors.Exit{}, true, protocol.HDKHostNotReady, "was ended"},
		"a signal":                       {"", executors.Exit{Code: 137, Signal: "killed"}, false, protocol.HDKHostNotReady, "ended by a signal (killed)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := read(t, c.text).checked(install{}, c.exit, c.givenUp)
			if f.Code != c.code || f.Blocks != (c.code != "") || !strings.Contains(f.What, c.says) {
				t.Errorf("got %+v", f)
			}
		})
	}
}
