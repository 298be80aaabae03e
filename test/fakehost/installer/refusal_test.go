package installer_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

func TestASecondInstallerIsRefusedWhileOneRuns(t *testing.T) {
	h := host(t, fakehost.Options{Pace: 20 * time.Second})
	first := command(t, h, "firmware", "--quiet", "--upgrade")
	first.SysProcAttr = ownGroup()
	must(t, first.Start())
	t.Cleanup(func() {
		killGroup(first.Process.Pid)
		_ = first.Wait()
	})
	wait.For(t, "the first installer works", func() bool { return changes(t, h) == 1 })
	status, out := install(t, h, "driver", "", "--quiet", "--upgrade")
	if status != 1 || !strings.Contains(out, "ERR_NO:0x0094;ERR_DES:There is already a process being executed") {
		t.Errorf("exit code %d\n%s", status, out)
	}
}

func TestAnInstallerThatIsKilledInTheMiddleLeavesNoDriver(t *testing.T) {
	h := host(t, fakehost.Options{Pace: 3 * time.Second})
	cmd := command(t, h, "driver", "--quiet", "--upgrade")
	cmd.SysProcAttr = ownGroup()
	must(t, cmd.Start())
	for _, path := range []string{"/usr/local/Ascend/driver/version.info", "/usr/local/sbin/npu-smi"} {
		wait.For(t, path+" is deleted", func() bool {
			_, err := os.Stat(h.Path(path))
			return errors.Is(err, os.ErrNotExist)
		})
	}
	killGroup(cmd.Process.Pid)
	_ = cmd.Wait()
	must(t, h.Reboot())
	if s := state(t, h); s.Loaded() {
		t.Errorf("after the reboot %v runs", s.Running())
	}
	must(t, h.Update(func(s *fakehost.State) error { s.Pace = 0; return nil }))
	if status, out := install(t, h, "driver", "", "--quiet", "--full"); status != 0 || state(t, h).Running().Driver != to.Driver {
		t.Errorf("the repair exits with %d\n%s", status, out)
	}
}

func TestUninstall(t *testing.T) {
	h := host(t, fakehost.Options{})
	run := func(kind string, args ...string) int {
		cmd := exec.Command(h.Path("/usr/local/Ascend/"+kind+"/script/uninstall.sh"), args...)
		_ = cmd.Run()
		return cmd.ProcessState.ExitCode()
	}
	must(t, h.SetFault(fakehost.BusyProcess))
	if status := run(fakehost.Driver, "--quiet"); status != 1 || state(t, h).Installed != from {
		t.Errorf("uninstalling a busy driver exits with %d, installed is %v", status, state(t, h).Installed)
	}
	must(t, h.ClearFault(fakehost.BusyProcess))
	if status := run(fakehost.Firmware, "--quiet"); status != 0 {
		t.Errorf("uninstalling the firmware exits with %d", status)
	}
	if status := run(fakehost.Driver, "--quiet"); status != 0 {
		t.Errorf("uninstalling the driver exits with %d", status)
	}
	s := state(t, h)
	if s.Installed != (fakehost.Release{}) || s.Loaded() || s.Running().Firmware != from.Firmware {
		t.Errorf("installed %v, running %v", s.Installed, s.Running())
	}
}

func TestFirmwareIsInstalledOnMetalOnly(t *testing.T) {
	for _, place := range []fakehost.Place{fakehost.VM, fakehost.Container} {
		h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{Release: from, Arch: "aarch64", Place: place})
		code, out := install(t, h, "firmware", "", "--upgrade", "--quiet")
		if code != 1 || !strings.Contains(out, "cannot be installed on a VM or container") {
			t.Errorf("in a %s the firmware's installer exits with %d:\n%s", place, code, out)
		}
		want := from.Firmware
		if place == fakehost.VM {
			want = "" // before as after
		}
		if s, err := h.State(); err != nil || s.Installed.Firmware != want || s.Running().Firmware != from.Firmware {
			t.Errorf("in a %s firmware %q is installed and %s runs, %v", place, s.Installed.Firmware, s.Running().Firmware, err)
		}
	}
}
