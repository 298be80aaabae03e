package hdk

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
)

func read(t testing.TB, text string) *transcript {
	t.Helper()
	heard := &transcript{}
	pieces := iotest.OneByteReader(strings.NewReader(text))
	buf := make([]byte, 16)
	for {
		n, err := pieces.Read(buf)
		heard.write(buf[:n])
		if errors.Is(err, io.EOF) {
			heard.close()
			return heard
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhatAnInstallerSays has every text of success and failure that Huawei's
// scripts are known to print.
func TestWhatAnInstallerSays(t *testing.T) {
	const driver = "[Driver] [2026-03-02 09:16:03] "
	failure := func(text string) string { return driver + "[ERROR]\x1b[31m" + text + "\x1b[0m\n" }
	for name, c := range map[string]struct {
		text   string
		code   int
		effect effect
		why    string
		remedy string // part of it
	}{
		"driver, reset hot":           {driver + "[INFO]Driver package installed successfully! The new version takes effect immediately. \n", 0, active, "", ""},
		"driver, upgraded":            {driver + "[INFO]Driver package upgraded successfully! The new version takes effect immediately. \n", 0, active, "", ""},
		"driver, reboot":              {driver + "[INFO]Driver package installed successfully! Reboot needed for installation/upgrade to take effect! \n", 2, pending, "", ""},
		"driver, reboot and exit 0":   {driver + "[INFO]Driver package installed successfully! Reboot needed for installation/upgrade to take effect! \n", 0, pending, "", ""},
		"driver, modules are held":    {driver + "[INFO]Driver package installed finished! \n" + driver + "[WARNING]Kernel modules can not be removed, reboot needed for installation/upgrade to take effect! \n", 0, pending, "", ""},
		"driver, chips not ready":     {driver + "[WARNING]There are some chips not ready, please check after reboot\n" + driver + "[INFO]Driver package installed successfully! The new version takes effect immediately. \n", 0, pending, "", ""},
		"the former is removed":       {driver + "[INFO]Driver package uninstalled successfully! Reboot needed for uninstallation to take effect!\n" + driver + "[INFO]Driver package installed successfully! The new version takes effect immediately. \n", 0, active, "", ""},
		"driver of 2020":              {"Driver package install success! Reboot needed for installation/upgrade to take effect!\n", 0, pending, "", ""},
		"firmware":                    {"[Firmware] [t] [INFO]The firmware of [8] chips are successfully upgraded.\n[Firmware] [t] [INFO]Firmware package installed successfully! Reboot now or after driver installation for the installation/upgrade to take effect.\n", 0, pending, "", ""},
		"an error before a success":   {failure("rmdir: not empty") + driver + "[INFO]Driver package installed successfully! The new version takes effect immediately. \n", 0, active, "", ""},
		"nothing, exit 2":             {"", 2, failed, "it does not say that it installed anything, and version.info cannot be read: it said nothing (exit code 2)", ""},
		"nothing, exit 0":             {"", 0, failed, "it does not say that it installed anything, and version.info cannot be read: it said nothing (exit code 0)", ""},
		"nothing, exit 1":             {"", 1, failed, "it said nothing (exit code 1)", ""},
		"nothing, exit 15":            {"", 15, failed, "it said nothing (exit code 15)", "tar and gzip"},
		"nothing, exit 126":           {"", 126, failed, "it said nothing (exit code 126)", "noexec"},
		"nothing, exit 127":           {"", 127, failed, "it said nothing (exit code 127)", "Install it"},
		"makeself's words only":       {"Verifying archive integrity...     0% \b\b\b\b\b\b\b 100%   SHA256 checksums are OK. All good.\n", 1, failed, "it said nothing (exit code 1)", ""},
		"no error, exit 1":            {"Uncompressing ASCEND DRIVER RUN PACKAGE  100%\none\ntwo\n", 1, failed, "it gave no reason; its last words: Uncompressing ASCEND DRIVER RUN PACKAGE 100% / one / two (exit code 1)", ""},
		"a text nobody knows":         {failure("The moon is full!"), 1, failed, "The moon is full (exit code 1)", ""},
		"stopped":                     {driver + "[INFO]installation Stoped!\n", 0, failed, "it stopped without installing anything, with exit code 0", ""},
		"an error that is to be read": {driver + "[INFO]Driver package installed successfully! The new version takes effect immediately. \n" + failure("Driver_ko_install failed, press any key to exit"), 0, failed, "Driver_ko_install failed, press any key to exit (exit code 0)", "built or loaded"},
		"an error and exit 0":         {failure("Something failed"), 0, failed, "Something failed (exit code 0)", ""},
		"not root":                    {failure("ERR_NO:0x0093;ERR_DES:do not have root permission, operation failed"), 1, failed, "do not have root permission, operation failed (exit code 1)", "as root"},
		"another architecture":        {failure("Arch mismatch, src package is aarch64, cur os is x86_64"), 1, failed, "Arch mismatch, src package is aarch64, cur os is x86_64 (exit code 1)", "another chip or architecture"},
		"another chip":                {failure("The current installation package and environment is not match, please check."), 1, failed, "The current installation package and environment is not match, please check (exit code 1)", "another chip"},
		"another installer":           {failure("ERR_NO:0x0094;ERR_DES:There is already a process being executed,please do not execute multiple tasks at the same time"), 1, failed, "There is already a process being executed,please do not execute multiple tasks at the same time (exit code 1)", "other installer"},
		"no user":                     {failure("ERR_NO:0x0091;ERR_DES:HwHiAiUser not exists! Please add HwHiAiUser"), 1, failed, "HwHiAiUser not exists! Please add HwHiAiUser (exit code 1)", "Add the user"},
		"another user":                {failure("ERR_NO:0x0095;ERR_DES:The user and group are not same with last installation"), 1, failed, "The user and group are not same with last installation (exit code 1)", "last installation"},
		"user not in group":           {failure("ERR_NO:0x0096;ERR_DES:User a is not in the group b"), 1, failed, "User a is not in the group b (exit code 1)", "into the group"},
		"options":                     {failure("ERR_NO:0x0004;ERR_DES:Unrecognized parameters: --x."), 1, failed, "Unrecognized parameters: --x (exit code 1)", "other options"},
		"no space":                    {failure("free space only 12M, cannot install driver package"), 1, failed, "free space only 12M, cannot install driver package (exit code 1)", "Make room"},
		"unpacking, no space":         {"tar: ./driver.bin: Cannot write: No space left on device\n", 1, failed, "tar: ./driver.bin: Cannot write: No space left on device (exit code 1)", "Make room"},
		"the archive, no space":       {"Not enough space left in /var/lib/x (0 KB) to decompress ./a.run (9041 KB)\n", 1, failed, "Not enough space left in /var/lib/x (0 KB) to decompress ./a.run (9041 KB) (exit code 1)", "Make room"},
		"tools":                       {failure("The list of missing tools: lspci,ifconfig,"), 1, failed, "The list of missing tools: lspci,ifconfig, (exit code 1)", "Install the tools"},
		"busy":                        {failure("The davinci nodes are occupied by some processes, please stop processes and install or uninstall again, details in : /var/log/ascend_seclog/ascend_install.log"), 1, failed, "The davinci nodes are occupied by some processes, please stop processes and install or uninstall again; details are in /var/log/ascend_seclog/ascend_install.log (exit code 1)", "Stop what uses"},
		"revoked":                     {failure("Device_images_crl_check failed"), 1, failed, "Device_images_crl_check failed (exit code 1)", "signature"},
		"signature":                   {failure("The software signature verification failed because the signature mode used by the software is inconsistent"), 1, failed, "The software signature verification failed because the signature mode used by the software is inconsistent (exit code 1)", "signature"},
		"dkms":                        {failure("Dkms install failed, details in : var/log/ascend_seclog/ascend_install.log") + failure("Driver_ko_install failed"), 1, failed, "Dkms install failed / Driver_ko_install failed; details are in /var/log/ascend_seclog/ascend_install.log (exit code 1)", "/var/lib/dkms/davinci_ascend"},
		"modules by hand":             {failure("Driver_ko_install_manually failed"), 1, failed, "Driver_ko_install_manually failed (exit code 1)", "headers"},
		"too old for the hardware":    {failure("Version check does not match, please use version 25.2.0 or later."), 1, failed, "Version check does not match, please use version 25.2.0 or later (exit code 1)", "newer version"},
		"too old, other words":        {failure("Version check does not match, please use 23.0.7 or later."), 1, failed, "Version check does not match, please use 23.0.7 or later (exit code 1)", "newer version"},
		"a step between":              {failure("Download and install the 23.0.RC1 driver package. Then upgrade to the target version."), 1, failed, "Download and install the 23.0.RC1 driver package. Then upgrade to the target version (exit code 1)", "it names first"},
		"half gone":                   {failure("Failed to install driver package, please retry after uninstall and reboot!"), 1, failed, "Failed to install driver package, please retry after uninstall and reboot (exit code 1)", "is_reboot"},
		"chips do not start":          {failure("Device startup timeout"), 1, failed, "Device startup timeout (exit code 1)", "Restart the host"},
	} {
		t.Run(name, func(t *testing.T) {
			j := ending(repository.Run, c.code, read(t, c.text)).judge()
			if j.Effect != c.effect || j.Reason != c.why || !strings.Contains(j.Remedy, c.remedy) || (c.remedy == "") != (j.Remedy == "") {
				t.Errorf("got %+v", j)
			}
		})
	}
}

// What rpm and dpkg print around the same scripts; their exit codes are their own.
func TestWhatAPackageManagerSays(t *testing.T) {
	const reboot = "[Driver] [t] [INFO]Driver package installed successfully! Reboot needed for installation/upgrade to take effect!\n"
	for name, c := range map[string]struct {
		text   string
		code   int
		effect effect
		why    string
		remedy string // part of it
	}{
		"installed, reboot":       {"Preparing...\n" + reboot, 0, pending, "", ""},
		"installed, reset hot":    {"[Driver] [t] [INFO]Driver package installed successfully! The new version takes effect immediately. \n", 0, active, "", ""},
		"only the former at once": {"[Driver] [t] [INFO]Driver package uninstalled successfully! Uninstallation takes effect immediately.\n[Driver] [t] [INFO]Driver package installed successfully!\n", 0, pending, "", ""},
		"installed without word":  {"", 0, failed, "it does not say that it installed anything, and version.info cannot be read: it said nothing (exit code 0)", ""},
		"dpkg's own 2":            {"dpkg: error: dpkg frontend lock was locked by another process with pid 4711\n", 2, failed, "dpkg: error: dpkg frontend lock was locked by another process with pid 4711 (exit code 2)", "Another package"},
		"rpm's lock":              {"error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)\n", 1, failed, "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable) (exit code 1)", "Another package"},
		"dependencies":            {"error: Failed dependencies:\n\tdkms is needed by Ascend910B-driver-25.5.2-1.aarch64\n", 1, failed, "error: Failed dependencies: (exit code 1)", "depends"},
		"a script before":         {"[Driver] [t] [ERROR]Arch mismatch\nerror: %prein(Ascend910B-driver-25.5.2-1.aarch64) scriptlet failed, exit status 1\nerror: Ascend910B-driver-25.5.2-1.aarch64: install failed\n", 1, failed, "Arch mismatch / error: %prein(Ascend910B-driver-25.5.2-1.aarch64) scriptlet failed, exit status 1 / error: Ascend910B-driver-25.5.2-1.aarch64: install failed (exit code 1)", "another chip"},
		"a script after":          {"warning: %post(Ascend910B-driver-25.5.2-1.aarch64) scriptlet failed, exit status 1\n", 0, failed, "warning: %post(Ascend910B-driver-25.5.2-1.aarch64) scriptlet failed, exit status 1 (exit code 0)", ""},
		"no package":              {"error: x.rpm: not an rpm package (or package manifest)\n", 1, failed, "error: x.rpm: not an rpm package (or package manifest) (exit code 1)", "right file"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []repository.Format{repository.RPM, repository.Deb} {
				j := ending(format, c.code, read(t, c.text)).judge()
				if j.Effect != c.effect || j.Reason != c.why || !strings.Contains(j.Remedy, c.remedy) {
					t.Errorf("%s: got %+v", format, j)
				}
			}
		})
	}
}

func TestProgressInBothForms(t *testing.T) {
	var told []int
	heard := &transcript{progress: func(p int) { told = append(told, p) }}
	heard.write([]byte("[Firmware] [t] [INFO]upgradePercentage: 0%\r[Firmware] [t] [INFO]upgradePercentage: 45%\rupgradePercentage: 45%\n"))
	heard.write([]byte("[Driver] [t] [INFO]\x1b[32mupgradePer"))
	heard.write([]byte("centage:90%\x1b[0m\nupgradePercentage:101%\nupgradePercentage:30%\nupgradePercentage:100%"))
	heard.close()
	if len(told) != 3 || told[0] != 45 || told[1] != 90 || told[2] != 100 {
		t.Errorf("told %v", told)
	}
}

// A log that was written before the run began is of another run.
func TestTheLogOfAnotherRunIsNotQuoted(t *testing.T) {
	began := time.Now()
	for age, quoted := range map[time.Duration]bool{0: true, -time.Hour: true, time.Second: false, time.Hour: false} {
		heard := read(t, "[Driver] [t] [ERROR]Something failed, details in : /var/log/a.log\n")
		heard.readLog(fstest.MapFS{"var/log/a.log": {Data: []byte("[ERROR]the cause\n"), ModTime: began.Add(-age)}}, began.Add(-logSlack))
		if got := strings.Contains(heard.said(), "/var/log/a.log says: the cause"); got != quoted {
			t.Errorf("%s old: %s", age, heard.said())
		}
	}
}

// A line that was printed before counts again.
func TestALineThatIsPrintedAgain(t *testing.T) {
	const success = "[Driver] [t] [INFO]Driver package installed successfully! The new version takes effect immediately. \n"
	heard := read(t, "one\ntwo\nthree\nfour\none\n")
	if want := []string{"three", "four", "one"}; !slices.Equal(heard.last, want) {
		t.Errorf("its last words are %q", heard.last)
	}
	heard = read(t, success+success+"[Driver] [t] [ERROR]Something failed\n"+success)
	if heard.success == "" {
		t.Error("the last success does not count")
	}
	heard = read(t, "[INFO]a, details in /var/log/a.log\n[INFO]b, details in /var/log/b.log\n[INFO]a, details in /var/log/a.log\n")
	if heard.log != "var/log/a.log" {
		t.Errorf("the last log is %s", heard.log)
	}
	heard = read(t, "[Driver] [t] [INFO]Failed to a\n[Driver] [t] [INFO]Failed to b\n[Driver] [t] [INFO]Failed to a\n")
	if heard.failure != "Failed to a" {
		t.Errorf("the last failure is %q", heard.failure)
	}
}

func TestASignalIsAFailure(t *testing.T) {
	e := ending(repository.Run, 137, read(t, ""))
	e.Signal = "killed"
	if j := e.judge(); j.Effect != failed || !strings.Contains(j.Reason, "killed") {
		t.Errorf("got %+v", j)
	}
}

// What version.info says after an installer, beside what the installer says.
func TestVersionInfoProvesAndRefutes(t *testing.T) {
	const success = "[Driver] [t] [INFO]Driver package installed successfully! Reboot needed for installation/upgrade to take effect! \n"
	for name, c := range map[string]struct {
		text   string
		code   int
		info   ascend.Version // "": it cannot be read
		former ascend.Version
		effect effect
		why    string
	}{
		"success, and the version":                        {success, 2, "2.0", "1.0", pending, ""},
		"success, and another version":                    {success, 2, "1.0", "1.0", failed, "it says that it succeeded, and version.info says 1.0"},
		"success, and no version.info":                    {success, 2, "", "1.0", pending, ""},
		"no word, and the version since":                  {"", 0, "2.0", "1.0", pending, ""},
		"no word and exit code 2, and the version since":  {"", 2, "2.0", "", pending, ""},
		"no word, and the version as before":              {"", 2, "2.0", "2.0", failed, "it does not say that it installed anything, and version.info names the version that it may have named before: it said nothing (exit code 2)"},
		"no word, and the former version":                 {"", 0, "1.0", "1.0", failed, "it does not say that it installed anything, and version.info says 1.0: it said nothing (exit code 0)"},
		"a failure as information, and the version since": {"[Driver] [t] [INFO]Failed to upgrade driver package, please retry after uninstall and reboot!\n", 0, "2.0", "1.0", failed, "Failed to upgrade driver package, please retry after uninstall and reboot (exit code 0)"},
		"success, an error, and the version since":        {success + "[Driver] [t] [ERROR]Failed to restart the service ascend-dms\n", 2, "2.0", "1.0", pending, ""},
		"success, an error, and the version as before":    {success + "[Driver] [t] [ERROR]Something failed\n", 2, "2.0", "2.0", failed, "Something failed (exit code 2)"},
		"an error, and the version since":                 {"[Driver] [t] [ERROR]Something failed\n", 2, "2.0", "1.0", failed, "Something failed (exit code 2)"},
		"a failure's code, and the version since":         {"", 1, "2.0", "1.0", failed, "it said nothing (exit code 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			e := ending(repository.Run, c.code, read(t, c.text))
			e.target, e.former, e.info.Version, e.infoErr = "2.0", &c.former, c.info, nil
			if c.info == "" {
				e.infoErr = errors.New("gone")
			}
			if j := e.judge(); j.Effect != c.effect || j.Reason != c.why {
				t.Errorf("got %+v", j)
			}
		})
	}
}

// ending is how an installer ended of which no version.info is known.
func ending(format repository.Format, code int, t *transcript) ended {
	return ended{Exit: executors.Exit{Code: code}, format: format, said: t, infoErr: fs.ErrNotExist, target: "2.0"}
}

// TestEveryEnding goes through all that is known of an ending: nothing but the installer's
// word of success, or a version.info that names the target since, is a success, and no
// installer that was given up or killed without its word is one.
func TestEveryEnding(t *testing.T) {
	const success = "[Driver] [t] [INFO]Driver package upgraded successfully! The new version takes effect immediately. \n"
	texts := map[string]string{
		"nothing": "", "success": success, "error": "[Driver] [t] [ERROR]x\n", "error, success": "[Driver] [t] [ERROR]x\n" + success, "success, error": success + "[Driver] [t] [ERROR]x\n",
		"failed": "[Driver] [t] [INFO]Failed to upgrade\n", "stopped": "[Driver] [t] [INFO]installation Stoped!\n", "asks": "Go on? [y/n]\n", "asks, success": "Go on? [y/n]\n" + success, "success, asks": success + "Go on? [y/n]\n",
		"prompt that went on": "Do you want to continue? default yes\n",
	}
	one, two := ascend.Version("1.0"), ascend.Version("2.0")
	formers := map[string]*ascend.Version{"unknown": nil, "other": &one, "target": &two}
	for name, text := range texts {
		for _, code := range []int{0, 1, 2, 15, 126, 127, 137, 143} {
			for _, signal := range []string{"", "killed"} {
				for _, givenUp := range []bool{false, true} {
					for _, info := range []ascend.Version{"", "1.0", "2.0"} {
						for since, former := range formers {
							e := ending(repository.Run, code, read(t, text))
							e.Signal, e.givenUp, e.former, e.info.Version, e.infoErr = signal, givenUp, former, info, nil
							if info == "" {
								e.infoErr = fs.ErrNotExist
							}
							j := e.judge()
							proven := info == "2.0" && since == "other"
							says := strings.HasSuffix(text, success) || name == "success, asks" || name == "success, error" && proven
							ended := givenUp || signal == "" && (code == 0 || code == 2)
							unclouded := says || proven && name == "nothing" || proven && (name == "asks" || name == "prompt that went on") && !givenUp && signal == ""
							want := ended && info != "1.0" && unclouded && (says || !givenUp)
							if got := j.Effect != failed; got != want {
								t.Errorf("%s, code %d, signal %q, given up %v, version.info %q, former %s: %+v", name, code, signal, givenUp, info, since, j)
							}
							if (j.Effect == failed) != (j.Reason != "") || strings.Contains(j.Reason, "says  ") {
								t.Errorf("%s: %+v", name, j)
							}
						}
					}
				}
			}
		}
	}
}

func FuzzTranscript(f *testing.F) {
	f.Add([]byte("[Driver] [t] [INFO]upgradePercentage:10%\r\n"), 0)
	f.Add([]byte("[Driver] [t] [ERROR]\x1b[31mERR_NO:0x0094;ERR_DES:There is already\x1b[0m\n"), 1)
	f.Add([]byte("installation Stoped!"), 0)
	f.Add([]byte(strings.Repeat("x", 3*maxLine)+"\n[ERROR]\xff\xfe"), 2)
	f.Fuzz(func(t *testing.T, printed []byte, code int) {
		last := 0
		heard := &transcript{progress: func(p int) {
			if p <= last || p > 100 {
				t.Errorf("progress %d after %d", p, last)
			}
			last = p
		}}
		half := len(printed) / 2
		heard.write(printed[:half])
		heard.write(printed[half:])
		heard.close()
		if len(heard.line) > maxLine || len(heard.errors)+len(heard.foreign) > 2*maxErrors || len(heard.last) > maxLast || len(heard.repeats.recent) > maxRecent {
			t.Errorf("keeps %d bytes, %d complaints, %d last and %d recent lines", len(heard.line), len(heard.errors), len(heard.last), len(heard.repeats.recent))
		}
		for _, e := range heard.errors {
			if len(e) > maxError {
				t.Errorf("a complaint of %d bytes", len(e))
			}
		}
		whole := &transcript{}
		whole.write(printed)
		whole.close()
		a, b := ending(repository.Run, code, heard).judge(), ending(repository.Run, code, whole).judge()
		if a != b {
			t.Errorf("in pieces %+v, whole %+v", a, b)
		}
		if a.Effect != failed && heard.success == "" {
			t.Errorf("%+v without a word of success", a)
		}
		if code == 1 && a.Effect != failed {
			t.Errorf("exit code 1 is %s", a.Effect)
		}
	})
}
