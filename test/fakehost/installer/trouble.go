package installer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"devserver-agent/test/fakehost"
)

// patience bounds what Huawei's installer does without end: a test that fails must not
// leave it running.
const patience = time.Minute

// trouble plays what goes wrong when the installation has reached percent; 0 is after the
// checks and before anything is changed. ends reports that the installer ends here.
func (r *run) trouble(percent int) (status int, ends bool, err error) {
	at := func(other int) func(fakehost.Args) bool {
		return func(a fakehost.Args) bool { return r.meant(a) && percent >= a.Int("percent", other) }
	}
	for _, t := range []struct {
		fault fakehost.Fault
		due   func(fakehost.Args) bool
		play  func(fakehost.Args) (status int, ends bool)
	}{
		{fakehost.InstallExits, at(0), r.exits},
		{fakehost.InstallAsks, at(10), r.asks},
		{fakehost.InstallRepeats, at(40), func(a fakehost.Args) (int, bool) {
			return r.without(func(int) {
				fmt.Fprintf(r.out, "[%s] [%s] [INFO]%s\n", title(r.pkg.kind), now(), a.String("line", "Waiting for device startup..."))
			})
		}},
		{fakehost.InstallFloods, at(40), func(fakehost.Args) (int, bool) {
			return r.without(func(n int) { fmt.Fprintf(r.out, "copying part %d of the driver %s\n", n, strings.Repeat("=", 2000)) })
		}},
		{fakehost.InstallRefuses, func(a fakehost.Args) bool {
			s, known := refusals[a.String("step", "")]
			return known && r.pkg.kind == fakehost.Driver && s.percent == percent
		}, r.refuses},
	} {
		args, on, err := r.host.Trip(t.fault, t.due)
		if err != nil {
			return failed, false, err
		}
		if !on {
			continue
		}
		if status, ends := t.play(args); ends {
			return status, true, nil
		}
	}
	return 0, false, nil
}

func (r *run) exits(a fakehost.Args) (status int, ends bool) {
	for line := range strings.SplitSeq(a.String("says", ""), "|") {
		if line != "" {
			fmt.Fprintln(r.out, line)
		}
	}
	return a.Int("code", failed), true
}

// without does something for ever, almost.
func (r *run) without(do func(n int)) (status int, ends bool) {
	for n, began := 0, time.Now(); time.Since(began) < patience; n++ {
		do(n)
	}
	return failed, true
}

// asks asks until it is answered: for the kernel's path when the module cannot be built,
// as run_driver_ko_rebuild.sh does; whether the folder is safe enough, as
// install_common.sh does; or for the licence, as makeself's header does, which ends no
// line.
func (r *run) asks(a fakehost.Args) (status int, ends bool) {
	again := func() { fmt.Fprintln(r.out, "ERR_NO:0x0002;ERR_DES:input error, please input again!") }
	switch a.String("question", "kernel") {
	case "license":
		again = func() { fmt.Fprint(r.out, "Please type y to accept, n otherwise: ") }
		again()
	case "path":
		fmt.Fprintln(r.out, "You are going to put run-files on a unsecure install-path, do you want to continue? [y/n]")
	default:
		r.warning("rebuild ko has something wrong, detail in /var/log/ascend_seclog/ascend_rebuild.log")
		r.log("ascend_rebuild.log", "[Driver] ["+now()+"] [ERROR]/lib/modules/"+fakehost.Kernel+"/build does not exist")
		r.info("Do you want to try build driver after input kernel absolute path? [y/n]:")
	}
	for began := time.Now(); time.Since(began) < patience; {
		answer, _ := r.in.ReadString('\n')
		switch strings.TrimSpace(answer) {
		case "n":
			r.fail("Driver installation was stopped")
			return failed, true
		case "y":
			return 0, false
		}
		again()
	}
	return failed, true
}

// refusal is a step of the driver's scripts that fails, and what its log says then.
type refusal struct {
	percent int    // when; 0: before anything is changed
	says    string // as an error
	logs    []string
}

// refusals are by step. The sentences are those of Huawei's scripts (github
// hicann/driver: run_driver_install.sh, install_common.sh, dkms_check.sh).
var refusals = map[string]refusal{
	"owner":  {0, "The given directory, including its parents, should belong to root", []string{"[ERROR][Ascend] permision not right, it should belong to root."}},
	"mode":   {0, "The given directory, or its parents, permission is too small", []string{"[ERROR][Ascend] permission is too small."}},
	"bundle": {0, "ERR_NO:0x0094;ERR_DES:Operation failed, An all-in-one RUN package is found in /usr/local/HiAI, which needs to be uninstalled before proceeding.", nil},
	"recovery": {0, "ERR_NO:0x0080;ERR_DES: Uninstallation and recovery failed, so reboot is recommended.",
		[]string{"[ERROR]The livepatch's pre-uninstall failed."}},
	"headers": {10, "Drv_dkms_env_check failed", []string{"[INFO]dkms environment check...", "[WARNING]linux headers is currently not installed.", "[INFO]not detect driver dkms dependence ", "[ERROR]driver vermagic check failed."}},
	"copy":    {30, "Drv_file_copy failed", []string{"[ERROR]cp: error writing '/usr/local/Ascend/driver/lib64/libdrvdsmi_host.so': No space left on device"}},
	"signature": {30, "The software signature verification failed because the signature mode used by the software is inconsistent with the current configuration. Currently configured is [pss]",
		[]string{"[ERROR]cur device crl check fail, stop upgrade"}},
	"revoked":  {30, "Device_images_crl_check failed", []string{"[ERROR]cur device crl check fail, stop upgrade"}},
	"rename":   {40, "Device_pcie_load_file_rename failed", []string{"[ERROR]host load file(/usr/local/Ascend/driver/device/davinci_mini.image) is missing, failed"}},
	"path":     {40, "Pcie_load_path_set failed", []string{"[ERROR]echo DAVINCI_HOME_PATH=/usr/local/Ascend > /lib/davinci.conf failed"}},
	"module":   {90, "Driver_ko_install failed", []string{"[ERROR]dkms install failed"}},
	"services": {90, "Set boot-items failed", nil},
	"load":     {100, "Driver_ko_install_manually failed", []string{"[ERROR]insmod drv_seclib_host.ko failed"}},
}

// stopsQuietly are the steps after which nothing is said of a new start: nothing was
// changed yet.
var stopsQuietly = []string{"owner", "mode", "bundle", "recovery"}

func (r *run) refuses(a fakehost.Args) (status int, ends bool) {
	step := a.String("step", "")
	for _, line := range refusals[step].logs {
		r.log("ascend_install.log", "[Driver] ["+now()+"] "+line)
	}
	said := refusals[step].says
	switch {
	case !slices.Contains(stopsQuietly, step):
		return r.failAt(said), true
	case strings.HasPrefix(said, "ERR_NO:"):
		r.fail(said)
	default:
		r.fail(said + inLog)
	}
	if step == "bundle" {
		return done, true // the script's exit has no number
	}
	return failed, true
}

const inLog = ", details in : /var/log/ascend_seclog/ascend_install.log "

// failAt fails at a step after the former driver was removed.
func (r *run) failAt(step string) int {
	r.fail(step + inLog)
	verb := r.verb()
	r.info("Failed to " + verb + " driver package, please retry after uninstall and reboot!")
	return failed
}
