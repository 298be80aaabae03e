package hdk

import (
	"fmt"
	"strings"
	"testing"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// Lines that ask, and lines that only look so. The sentences are those of Huawei's
// scripts, of makeself, dpkg, mokutil and ssh.
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
		"Is this ok [y/d/N]: ":          true,
		"Proceed? (yes/no)":             true,
		"input password: ":              true,
		"Enter passphrase for key 'x':": true,
		"Press any key to continue":     true,
		"Do you want to continue?":      true,

		"[Driver] [t] [ERROR]Please input the right params and try again.":                                                                            false,
		"[Driver] [t] [INFO]If you want to install or uninstall the driver forcibly, add the force parameter. For details, see [--help].":             false,
		"[Driver] [t] [ERROR]The davinci nodes are occupied by some processes, please stop processes and install or uninstall again, details in : /x": false,
		"[Driver] [t] [INFO]Waiting for device startup...":                                                                                            false,
		"[Driver] [t] [INFO]upgradePercentage:10%":                                                                                                    false,
		"[Driver] [t] [WARNING]Do not power off or restart the system during the installation/upgrade":                                                false,
		"options: [a/b]": false,
		"Please make sure that LD_LIBRARY_PATH includes /usr/local/Ascend/driver/lib64": false,
		"": false,
	} {
		for _, end := range []string{"\n", ""} { // a prompt has no end of line
			heard := &transcript{}
			heard.write([]byte("Verifying archive integrity...  100%\n" + line + end))
			if heard.hopeless() != asks {
				t.Errorf("%q: hopeless is %v before its end", line+end, !asks)
			}
			heard.close()
			if got := heard.question != ""; got != asks {
				t.Errorf("%q: asks is %v", line+end, got)
			}
		}
	}
}

// Only what writes no chip is ended: a firmware's installer until its first word of
// progress, and after its success.
func TestAFlashIsNeverCut(t *testing.T) {
	const asks = "Do you want to continue? [y/n]\n"
	const success = "[Firmware] [t] [INFO]Firmware package installed successfully! Reboot now or after driver installation for the installation/upgrade to take effect.\n"
	const begun = "[Firmware] [t] [INFO]upgradePercentage: 0%\n"
	loop := strings.Repeat("sleeping\n", endless)
	for text, want := range map[string]bool{
		asks:                                 true,
		loop:                                 true,
		begun + asks:                         false,
		begun + loop:                         false,
		asks + begun:                         false,
		begun + success + asks:               false, // what is asked after the success can wait
		begun + success + loop:               true,
		begun + strings.Repeat("x", flood+1): false,
	} {
		heard := &transcript{flashes: true}
		heard.write([]byte(text))
		if got := heard.hopeless(); got != want {
			t.Errorf("%.80q and so on: hopeless is %v", text, got)
		}
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
	pair := strings.Repeat("[Driver] [2026-11-28 10:31:02] [INFO]again\nERR\n", endless)
	for name, c := range map[string]struct {
		text string
		why  string // part of it; "": it is not stuck
	}{
		"the same line":                       {strings.Repeat("again\n", endless), `"again" over and over`},
		"two lines in turn, with other times": {pair + strings.Replace(pair, "02]", "03]", 1), `"again" over and over`},
		"not often enough":                    {strings.Repeat("again\n", endless-1), ""},
		"other lines":                         {numbered(3 * endless), ""},
		"the same line now and then":          {strings.Repeat("again\n"+numbered(maxRecent), endless), ""},
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
			t.Errorf("this says nothing to do, or is no sentence: %s", remedy)
		}
	}
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
		"noexec": {sound + "Uncompressing ASCEND DRIVER RUN PACKAGE  100%\n/root/Ascend-hdk-910b-npu-driver_25.5.2_linux-aarch64.run: line 702: ./install.sh: Permission denied\n", 126,
			[]string{"./install.sh: Permission denied"}, []string{"may not be executed", "/tmp", "noexec"}},
		"headers are missing": {driver + "[INFO]upgradePercentage:10%\n" + driver + "[ERROR]\x1b[31mDrv_dkms_env_check failed" + inLog + driver + "[INFO]Failed to install driver package, please retry after uninstall and reboot!\n", 1,
			[]string{"Drv_dkms_env_check failed"}, []string{"kernel-headers", "dkms", "gcc"}},
		"the folder's owner": {driver + "[ERROR]\x1b[31mThe given directory, including its parents, should belong to root" + inLog, 1,
			[]string{"should belong to root"}, []string{"/usr/local/Ascend", "all folders above it to root"}},
		"told as information only": {driver + "[INFO]Failed to upgrade driver package, please retry after uninstall and reboot!\n", 1,
			[]string{"Failed to upgrade driver package"}, []string{"The former version is gone"}},
		"a sum is wrong": {"Verifying archive integrity...Error in MD5 checksums: 0123 is different from 4567\n", 2,
			[]string{"Error in MD5 checksums"}, []string{"The archive is damaged. Download it"}},
		"a sum is wrong, after percentages": {"Verifying archive integrity...     0% \b\b\b\b\b\b\b   51% \b\b\b\b\b\b\b 100%  Error in checksums: 1 is different from 2\n", 2,
			[]string{"Error in checksums: 1 is different from 2 (exit code 2)"}, []string{"The archive is damaged. Download it"}},
		"shorter": {"Verifying archive integrity... Unexpected archive size.\n", 2,
			[]string{"Unexpected archive size"}, []string{"The archive is damaged. Download it"}},
		"a script that ends too early": {"./install.sh: line 12: syntax error: unexpected end of file\n", 2,
			[]string{"syntax error"}, []string{"damaged"}},
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
