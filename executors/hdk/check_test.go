package hdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// Whatever is wrong with an archive of the plan, and whether its index knows or not: it is
// found before anything is changed.
func TestNothingIsInstalledBesideADamagedArchive(t *testing.T) {
	for _, bare := range []bool{false, true} {
		for _, kind := range []repository.Kind{repository.Driver, repository.Firmware} {
			for _, harm := range fakehost.Harms {
				for _, indexed := range []bool{false, true} {
					t.Run(fmt.Sprintf("bare %v, %s, %s, indexed %v", bare, kind, harm, indexed), func(t *testing.T) {
						t.Parallel()
						r := newRig(t, fakehost.A2, fakehost.Options{Bare: bare})
						r.harm("24.1.0.3", kind, harm, indexed)
						r.spec, r.reboot = executors.Spec{"version": "24.1.0.3"}, false
						before, err := r.fake.State()
						if err != nil {
							t.Fatal(err)
						}
						code, message := verdictOf(r.run(context.Background()))
						if code != protocol.HDKPackageDamaged || !strings.HasPrefix(message, "Not begun, nothing was changed: ") {
							t.Errorf("got [%s] %s", code, message)
						}
						if got := r.started(); got != nil {
							t.Errorf("installers: %v", got)
						}
						if after, err := r.fake.State(); err != nil || after.Installed != before.Installed || after.Running() != before.Running() {
							t.Errorf("%+v is installed and %+v runs, before %+v and %+v; %v", after.Installed, after.Running(), before.Installed, before.Running(), err)
						}
					})
				}
			}
		}
	}
}

// Every archive checks itself before the first is installed.
func TestArchivesCheckThemselvesFirst(t *testing.T) {
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3", "rollback": "true"}
	if _, err := r.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	events, err := r.fake.Events()
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	for _, e := range events {
		installer := e.Name == fakehost.DriverInstaller || e.Name == fakehost.FirmwareInstaller
		switch {
		case installer && e.Kind == fakehost.KindCheck:
			checked[e.Name+" "+e.Note] = true
		case installer && e.Kind == fakehost.KindStart && len(checked) != 4:
			t.Fatalf("%s was started when only these had checked themselves: %v", e.Name, checked)
		}
	}
	if len(checked) != 4 {
		t.Errorf("these checked themselves: %v", checked)
	}
}

// older is a host whose plan was recorded by an agent whose archives did not check
// themselves.
type older struct{ *hosttest.Host }

func (o older) Memo(ctx context.Context, name string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	value, err := o.Host.Memo(ctx, name, fn)
	return json.RawMessage(withoutChecks.ReplaceAllString(string(value), "")), err
}

// withoutChecks is what such a plan did not have.
var withoutChecks = regexp.MustCompile(`,"checks":true|,"former":"[^"]*"`)

// A plan that an older agent recorded is gone on from: its replay asks for no steps that
// were not recorded.
func TestAPlanOfAnOlderAgentHasNoChecks(t *testing.T) {
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	r.host.Cut("install-firmware")
	r.host.OnRestart = r.restart
	if _, err := r.upgrade.Execute(context.Background(), older{r.host}, r.spec); err != nil {
		t.Fatal(err)
	}
	if r.host.Starts("check-firmware")+r.host.Starts("check-driver") != 0 || r.host.Starts("install-firmware") != 2 {
		t.Errorf("started: %v\n%s", r.started(), r.host.Output())
	}
}

func TestACheckThatComesToNoEnd(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*rig)
		code    protocol.Code
		says    string
	}{
		"it hangs": {func(r *rig) {
			r.write("usr/bin/tar", "#!/bin/sh\ntouch \"$HOST_ROOT/unpacking\"\nsleep 60\n")
			for _, step := range []string{"check-firmware", "check-driver"} {
				r.host.Hang(step, func() bool {
					_, err := os.Stat(r.fake.Path("unpacking"))
					return err == nil
				})
			}
		}, protocol.ToolTimeout, "the archive of firmware 7.5.0.5.220 did not check itself within 10m0s"},
		"it is cut twice": {func(r *rig) { r.host.Cut("check-driver"); r.host.Cut("check-driver") }, protocol.StepInterrupted, "the check of the archive of driver 24.1.0.3 was cut in the middle twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3"}
			c.prepare(r)
			code, message := verdictOf(r.run(context.Background()))
			if code != c.code || !strings.HasPrefix(message, "Not begun, nothing was changed: ") || !strings.Contains(message, c.says) || r.started() != nil {
				t.Errorf("got [%s] %s; installers %v", code, message, r.started())
			}
		})
	}
}

// A check that was cut once is done again.
func TestACheckThatIsCutIsDoneAgain(t *testing.T) {
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	r.host.Cut("check-driver")
	if result, err := r.run(context.Background()); err != nil || result.Message != newA2 {
		t.Errorf("got %+v, %v", result, err)
	}
	if got := r.host.Starts("check-driver"); got != 2 {
		t.Errorf("it was started %d times", got)
	}
}

// An installer that asks or prints without end is over within a minute of that, and
// nothing of it is left.
func TestAnInstallerThatIsGivenUpLeavesNothing(t *testing.T) {
	for _, f := range []fault{
		{fakehost.InstallAsks, []string{"kind=driver"}}, {fakehost.InstallAsks, []string{"kind=driver", "question=license"}},
		{fakehost.InstallRepeats, []string{"kind=driver"}}, {fakehost.InstallFloods, []string{"kind=driver"}},
	} {
		t.Run(fmt.Sprint(f), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3"}
			r.set(f)
			began := time.Now()
			code, message := verdictOf(r.run(context.Background()))
			if code != protocol.HDKInstallFailed || time.Since(began) > time.Minute {
				t.Errorf("got [%s] %s after %v", code, message, time.Since(began))
			}
			if left, err := processesOf(r.fake.Dir()); err != nil || len(left) > 0 {
				t.Errorf("these are left: %q, %v", left, err)
			}
			// The fake installer's own journal has an end only where it was not killed.
			events, err := r.fake.Events()
			if err != nil || len(events.Of(fakehost.KindEnd, fakehost.DriverInstaller)) != 0 {
				t.Errorf("it came to its own end; %v", err)
			}
		})
	}
}

// processesOf are the command lines of the processes that have a text in it.
func processesOf(text string) ([]string, error) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, name := range all {
		if line, err := os.ReadFile(name); err == nil && strings.Contains(string(line), text) { // it may have ended
			found = append(found, string(line))
		}
	}
	return found, err
}

// A check that somebody kills is done again; it changes nothing.
func TestACheckThatIsKilledIsDoneAgain(t *testing.T) {
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	once := "usr/bin/tar"
	r.write(once, "#!/bin/sh\nif [ ! -e \"$HOST_ROOT/killed\" ]; then touch \"$HOST_ROOT/killed\"; kill -KILL 0; fi\nexec /bin/tar \"$@\"\n")
	if result, err := r.run(context.Background()); err != nil || result.Message != newA2 {
		t.Errorf("got %+v, %v\n%s", result, err, r.host.Output())
	}
	if got := r.host.Starts("check-firmware") + r.host.Starts("check-firmware-again"); got != 2 {
		t.Errorf("it was started %d times", got)
	}
}
