package hdk_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// removePackages deletes packages from the repository and from the host.
func (r *rig) removePackages(pattern string) {
	scratch, err := r.host.Scratch()
	if err != nil {
		r.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(string(r.upgrade.Source.(repository.Folder)), "*"), scratch} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			r.Fatal(err)
		}
		for _, file := range found {
			if err := os.Remove(file); err != nil {
				r.Error(err)
			}
		}
	}
	if err := os.RemoveAll(r.upgrade.Cache.Dir); err != nil {
		r.Error(err)
	}
}

// A rollback that cannot go on says so, and why it was begun.
func TestARollbackWhosePackageIsGoneSaysWhyItWasBegun(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3", "rollback": "true"}
	r.withIndex(func(*repository.Index) {})
	r.set(fault{fakehost.InstallFailsAt, []string{"kind=driver", "percent=40"}})
	r.host.OnProgress = func(p hosttest.Progress) {
		if strings.HasPrefix(p.What, "installing driver 24.1.0.3") {
			r.removePackages("Ascend-hdk-910b-npu-driver_24.1.0_*")
		}
	}
	code, message := verdictOf(r.run(context.Background()))
	if code != protocol.HDKRollbackFailed || !strings.HasPrefix(message, "The installer of driver 24.1.0.3 failed: ") || !strings.Contains(message, "The rollback failed too. The package of driver 24.1.0 is not as it was") {
		t.Errorf("got [%s] %s", code, message)
	}
}

// A cancel between driver and firmware of a rollback says what is there.
func TestACancelInTheMiddleOfARollbackSaysWhatIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3", "rollback": "true"}
	r.set(fault{fakehost.InstallFailsAt, []string{"kind=driver", "percent=40", "times=1"}})
	ctx, cancel := context.WithCancelCause(context.Background())
	r.host.OnProgress = func(p hosttest.Progress) {
		if strings.HasPrefix(p.What, "installing driver 24.1.0:") {
			cancel(executors.ErrCancelled)
		}
	}
	code, message := verdictOf(r.run(ctx))
	if code != protocol.TaskCancelled || !strings.HasPrefix(message, "The installer of driver 24.1.0.3 failed: ") || !strings.Contains(message, "Driver 24.1.0 was installed again, the firmware was not, and the host was not restarted since. Now: ") {
		t.Errorf("got [%s] %s", code, message)
	}
}

// An upgrade that restarted the host for its driver does not say that it was not restarted.
func TestAFailureSaysWhetherTheHostWasRestarted(t *testing.T) {
	for says, faults := range map[string][]fault{
		"The host was restarted after the driver was installed, and not since. Now: ": {{fakehost.DriverDown, []string{"until=reboot"}}, {fakehost.InstallFailsAt, []string{"kind=firmware", "percent=45"}}},
		"The host was not restarted. Now: ":                                           {{fakehost.InstallFailsAt, []string{"kind=firmware", "percent=45"}}},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3"}
			r.set(faults...)
			code, message := verdictOf(r.run(context.Background()))
			if code != protocol.HDKInstallFailed || !strings.Contains(message, says) || len(r.restarts) != len(faults)-1 {
				t.Errorf("restarts %v: [%s] %s", r.restarts, code, message)
			}
		})
	}
}

// A firmware whose package is gone after its installer was cut: there is nothing to roll
// back, and what is there is said once.
func TestNothingToRollBackAfterACut(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3", "rollback": "true"}
	r.withIndex(func(*repository.Index) {})
	r.set(fault{fakehost.InstallFailsAt, []string{"kind=firmware", "percent=45"}})
	r.host.Cut("install-firmware")
	r.host.OnProgress = func(p hosttest.Progress) {
		if strings.HasPrefix(p.What, "installing firmware 7.5.0.5.220: 45") {
			r.removePackages("Ascend-hdk-910b-npu-firmware_7.5.0.5.220*")
		}
	}
	code, message := verdictOf(r.run(context.Background()))
	if code != protocol.HDKInstallFailed || strings.Count(message, "Now: ") != 1 || !strings.Contains(message, "version.info names the former versions, so nothing was rolled back. Now: "+oldA2+". Check the repository") {
		t.Errorf("got [%s] %s", code, message)
	}
}

// A driver that does not answer after a firmware's installer was cut was not installed now.
func TestADriverThatIsDownAfterACut(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	r.host.Cut("install-firmware")
	r.host.OnProgress = func(p hosttest.Progress) {
		if strings.HasPrefix(p.What, "installing firmware 7.5.0.5.220: 45") {
			r.set(fault{fakehost.DriverDown, nil})
		}
	}
	code, message := verdictOf(r.run(context.Background()))
	if code != protocol.HDKDriverDown || !strings.Contains(message, "after the installer of firmware 7.5.0.5.220 was cut in the middle, so it cannot be started again. Now: ") {
		t.Errorf("got [%s] %s", code, message)
	}
}
