package hdk_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// mortal is a host whose agent is killed right after every first record: of a
// memo, of a step's end.
type mortal struct {
	*hosttest.Host
	seen   map[string]bool
	deaths int
	steps  []string // as they were first asked for
}

func (m *mortal) die(what string, err error) error {
	if err != nil || m.seen[what] {
		return err
	}
	m.seen[what] = true
	m.deaths++
	return executors.ErrStopping
}

func (m *mortal) Memo(ctx context.Context, name string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	value, err := m.Host.Memo(ctx, name, fn)
	return value, m.die("memo "+name, err)
}

func (m *mortal) Command(ctx context.Context, cmd executors.Command) (executors.Exit, error) {
	exit, err := m.Host.Command(ctx, cmd)
	if !m.seen["step "+cmd.Step] && err == nil {
		m.steps = append(m.steps, cmd.Step)
	}
	return exit, m.die("step "+cmd.Step, err)
}

// toEnd replays Execute until it comes to its end.
func (m *mortal) toEnd(ctx context.Context, r *rig) (executors.Result, error) {
	r.Helper()
	m.OnRestart = r.restart
	for range 100 {
		result, err := r.upgrade.Execute(ctx, m, r.spec)
		if !errors.Is(err, executors.ErrStopping) {
			return result, err
		}
		m.Replay()
	}
	r.Fatal("it does not come to an end")
	return executors.Result{}, nil
}

// TestStepsAreStartedOnceWhateverDies kills the agent after every record. The
// names of the steps are part of the compatibility contract: another version of
// the executor takes up what this one began.
func TestStepsAreStartedOnceWhateverDies(t *testing.T) {
	for name, c := range map[string]struct {
		options fakehost.Options
		faults  []fault
		spec    executors.Spec
		steps   []string
	}{
		"upgrade":       {steps: []string{"check-firmware", "check-driver", "install-firmware", "install-driver"}},
		"first install": {options: fakehost.Options{Bare: true}, steps: []string{"check-driver", "check-firmware", "install-driver", "install-firmware"}},
		"driver down":   {faults: one(fakehost.DriverDown, "until=install"), steps: []string{"check-driver", "check-firmware", "install-driver", "install-firmware"}},
		"rollback": {faults: one(fakehost.VersionStaysOld), spec: executors.Spec{"rollback": "true"},
			steps: []string{"check-firmware", "check-driver", "check-rollback-firmware", "check-rollback-driver", "install-firmware", "install-driver", "rollback-firmware", "rollback-driver"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, c.options)
			r.set(c.faults...)
			r.spec = executors.Spec{"version": "24.1.0.3"}
			for key, value := range c.spec {
				r.spec[key] = value
			}
			m := &mortal{Host: r.host, seen: map[string]bool{}}
			_, err := m.toEnd(context.Background(), r)
			var failure *executors.Failure
			if err != nil && !errors.As(err, &failure) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.steps, m.steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if m.deaths < 2*len(c.steps)+2 {
				t.Errorf("the agent died %d times only", m.deaths)
			}
			if got := len(r.started()); got != len(c.steps)/2 {
				t.Errorf("%d installers were started: %v", got, r.started())
			}
		})
	}
}

// TestTheOrderStandsAlthoughVersionInfoIsGone cuts the driver's installer after
// it deleted version.info: a plan made then would be another.
func TestTheOrderStandsAlthoughVersionInfoIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	r.set(fault{fakehost.InstallFailsAt, []string{"kind=driver", "percent=30", "times=1"}})
	m := &mortal{Host: r.host, seen: map[string]bool{}}
	m.Cut("install-driver")
	if _, err := m.toEnd(context.Background(), r); err != nil {
		t.Fatalf("%v\n%s", err, r.host.Output())
	}
	want := []string{"firmware 7.5.0.5.220 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet", "driver 24.1.0.3 --upgrade --quiet"}
	if diff := cmp.Diff(want, r.started()); diff != "" {
		t.Errorf("installers (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.host.Output(), "Driver: missing (no version.info)") {
		t.Errorf("the second attempt did not look first:\n%s", r.host.Output())
	}
	r.restart("final")
	m.Replay()
	if result, err := r.upgrade.Verify(context.Background(), r.host, r.spec); err != nil || result.Message != newA2 {
		t.Errorf("got %+v, %v", result, err)
	}
}

// What a pulled plug left of an installer's temporary files has names that the next boot
// may give out again: they are by process id.
func TestEveryInstallerHasAFolderForTemporaryFilesOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	r.host.Cut("install-firmware")
	if _, err := r.run(context.Background()); err != nil {
		t.Fatalf("%v\n%s", err, r.host.Output())
	}
	started := append(r.host.Started("install-firmware"), r.host.Started("install-driver")...)
	if len(started) != 3 {
		t.Fatalf("%d installers were started", len(started))
	}
	for _, command := range started {
		if !command.Temp {
			t.Errorf("%s has none", command.Step)
		}
	}
}

// An agent that is started while an installer runs, or after it ended, does not wait for
// the room that the installer took.
func TestRoomIsWaitedForBeforeAnInstallerAndOnNoReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	full, waited := false, map[string]int{}
	r.upgrade.Free = func(string) (int64, error) {
		if full {
			return 0, nil
		}
		return 1 << 40, nil
	}
	m := &mortal{Host: r.host, seen: map[string]bool{}}
	m.OnProgress = func(p hosttest.Progress) {
		kind, waits := strings.CutPrefix(p.What, "waiting for room: ")
		switch {
		case waits:
			waited[strings.Fields(kind)[0]]++
			full = false
		case strings.HasPrefix(p.What, "installing firmware 7.5.0.5.220: "):
			full = true
		}
	}
	if _, err := m.toEnd(context.Background(), r); err != nil {
		t.Fatalf("%v\n%s", err, r.host.Output())
	}
	if diff := cmp.Diff(map[string]int{"driver": 1}, waited); diff != "" {
		t.Errorf("waited for room (-want +got):\n%s", diff)
	}
}

// A package that is gone when its turn comes, after another was installed, is a reason for
// the rollback that was asked for, whenever the agent dies, and although the package is
// there again then.
func TestAPackageThatIsGoneWhenItsTurnComesIsRolledBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3", "rollback": "true"}
	r.withIndex(func(*repository.Index) {})
	m := &mortal{Host: r.host, seen: map[string]bool{}}
	find := func(dir string) string {
		found, err := filepath.Glob(filepath.Join(dir, "Ascend-hdk-910b-npu-driver_24.1.0.3*"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0]
	}
	scratch, err := r.host.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	source := find(filepath.Join(string(r.upgrade.Source.(repository.Folder)), "*"))
	gone, back := false, false
	m.OnProgress = func(p hosttest.Progress) {
		var err error
		switch {
		case !gone && strings.HasPrefix(p.What, "installing firmware 7.5.0.5.220: 100"):
			gone = true
			err = errors.Join(os.Rename(source, source+".away"), os.Remove(find(scratch)), os.RemoveAll(r.upgrade.Cache.Dir))
		case gone && !back && strings.HasPrefix(p.What, "installing firmware 7.5.0.2.220"):
			back = true
			err = os.Rename(source+".away", source)
		}
		if err != nil {
			t.Error(err)
		}
	}
	_, err = m.toEnd(context.Background(), r)
	code, message := verdictOf(executors.Result{}, err)
	if code != protocol.HDKRolledBack || !strings.Contains(message, "not as it was when the upgrade was planned") || !strings.Contains(message, "The host was brought back: "+oldA2) {
		t.Errorf("got [%s] %s", code, message)
	}
	want := []string{"firmware 7.5.0.5.220 --upgrade --quiet", "firmware 7.5.0.2.220 --upgrade --quiet"}
	if diff := cmp.Diff(want, r.started()); diff != "" {
		t.Errorf("installers (-want +got):\n%s", diff)
	}
}

// So is one that was cut itself and whose package is gone then, although nothing was
// installed before it; one that was not begun has changed nothing.
func TestAPackageThatIsGoneAfterItsInstallerWasCutIsRolledBack(t *testing.T) {
	for name, c := range map[string]struct {
		cut     bool
		code    protocol.Code
		started []string
	}{
		"cut":       {true, protocol.HDKRolledBack, []string{"firmware 7.5.0.5.220 --upgrade --quiet", "firmware 7.5.0.2.220 --upgrade --quiet"}},
		"not begun": {false, protocol.HDKPackageDamaged, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3", "rollback": "true"}
			r.withIndex(func(*repository.Index) {})
			when := "checking the archive of driver 24.1.0"
			if c.cut {
				when = "installing firmware 7.5.0.5.220: 100"
				r.host.Cut("install-firmware")
			}
			scratch, err := r.host.Scratch()
			if err != nil {
				t.Fatal(err)
			}
			m := &mortal{Host: r.host, seen: map[string]bool{}}
			m.OnProgress = func(p hosttest.Progress) {
				if !strings.HasPrefix(p.What, when) {
					return
				}
				for _, dir := range []string{filepath.Join(string(r.upgrade.Source.(repository.Folder)), "*"), scratch} {
					found, err := filepath.Glob(filepath.Join(dir, "Ascend-hdk-910b-npu-firmware_7.5.0.5.220*"))
					if err != nil {
						t.Error(err)
					}
					for _, file := range found {
						if err := os.Remove(file); err != nil {
							t.Error(err)
						}
					}
				}
				if err := os.RemoveAll(r.upgrade.Cache.Dir); err != nil {
					t.Error(err)
				}
			}
			_, err = m.toEnd(context.Background(), r)
			code, message := verdictOf(executors.Result{}, err)
			if code != c.code || !strings.Contains(message, "not as it was when the upgrade was planned") {
				t.Errorf("got [%s] %s", code, message)
			}
			if diff := cmp.Diff(c.started, r.started()); diff != "" {
				t.Errorf("installers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnInstallerThatIsCutTwiceIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	r.host.OnProgress = func(p hosttest.Progress) {
		if strings.HasPrefix(p.What, "installing firmware 7.5.0.5.220: 100") {
			r.host.Cut("install-firmware")
		}
	}
	code, message := verdictOf(r.run(context.Background()))
	if code != protocol.StepInterrupted || !strings.Contains(message, "was cut in the middle twice") || len(r.restarts) > 0 {
		t.Errorf("got [%s] %s, restarts %v", code, message, r.restarts)
	}
	if r.host.Starts("install-firmware") != 2 || r.host.Starts("install-driver") != 0 {
		t.Errorf("started %v", r.started())
	}
}

func TestACancelIsObeyedBeforeTheFirstInstallerAndAfterTheLast(t *testing.T) {
	for name, c := range map[string]struct {
		when  string // what is told of the progress then
		steps int
		says  string
	}{
		"before anything":              {"planning", 0, ""},
		"while the firmware installs":  {"installing firmware 7.5.0.5.220: 45%", 2, "All that was to be installed is. The host was not restarted. Now: Driver: 24.1.0.3 | Firmware: 7.5.0.5.220 | running: driver 24.1.0, firmware 7.5.0.2.220."},
		"while the driver installs":    {"installing driver 24.1.0.3: 40%", 2, "All that was to be installed is."},
		"between the two":              {"installing driver 24.1.0.3", 2, "All that was to be installed is."},
		"when everything is installed": {"installing driver 24.1.0.3: 100%", 2, "All that was to be installed is."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3"}
			ctx, cancel := context.WithCancelCause(context.Background())
			r.host.OnProgress = func(p hosttest.Progress) {
				if p.What == c.when {
					cancel(executors.ErrCancelled)
				}
			}
			m := &mortal{Host: r.host, seen: map[string]bool{}}
			_, err := m.toEnd(ctx, r)
			_, message := verdictOf(executors.Result{}, err)
			if !strings.HasPrefix(message, c.says) || err == nil || len(r.started()) != c.steps || len(r.restarts) > 0 {
				t.Errorf("got %v, installers %v, restarts %v", err, r.started(), r.restarts)
			}
			if c.says == "" && !errors.Is(err, executors.ErrCancelled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestACancelOfAnUpgradeThatProvesItself is one with rollback: after its restart
// a cancel ends nothing that is under way.
func TestACancelOfAnUpgradeThatProvesItself(t *testing.T) {
	for name, c := range map[string]struct {
		when     string
		faults   []fault
		restarts []string
		steps    int
		says     string // of an error; "" is none
	}{
		"before the restart":                 {"installing driver 24.1.0.3: 40%", nil, nil, 2, "All that was to be installed is. The host was not restarted."},
		"after a restart that came out well": {"activate", nil, []string{"activate"}, 2, ""},
		"after one that did not":             {"activate", one(fakehost.VersionStaysOld), []string{"activate"}, 2, "It was not rolled back."},
		"while it is rolled back":            {"installing firmware 7.5.0.2.220", one(fakehost.VersionStaysOld), []string{"activate"}, 4, "was installed again and the host not restarted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fakehost.A2, fakehost.Options{})
			r.spec = executors.Spec{"version": "24.1.0.3", "rollback": "true"}
			r.set(c.faults...)
			ctx, cancel := context.WithCancelCause(context.Background())
			r.host.OnProgress = func(p hosttest.Progress) {
				if p.What == c.when || len(r.restarts) > 0 && r.restarts[0] == c.when {
					cancel(executors.ErrCancelled)
				}
			}
			_, err := (&mortal{Host: r.host, seen: map[string]bool{}}).toEnd(ctx, r)
			_, message := verdictOf(executors.Result{}, err)
			if (err != nil) != (c.says != "") || !strings.Contains(message, c.says) || len(r.started()) != c.steps {
				t.Errorf("got %v, installers %v", err, r.started())
			}
			if diff := cmp.Diff(c.restarts, r.restarts); diff != "" {
				t.Errorf("restarts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProgressCountsTheWholeItem(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	if _, err := r.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	last, seen := 0, map[int]bool{}
	for _, p := range r.host.Told() {
		if p.Percent < last {
			t.Errorf("progress went back from %d to %+v", last, p)
		}
		last, seen[p.Percent] = p.Percent, true
	}
	// The firmware's 45 % and the driver's 40 %, each in its half of what lies between 10 and 90.
	if !seen[28] || !seen[66] || last != 100 {
		t.Errorf("told %v", r.host.Told())
	}
}

// TestAPackageIsVerifiedAgainBeforeItRuns changes it between plan and installer.
func TestAPackageIsVerifiedAgainBeforeItRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	m := &mortal{Host: r.host, seen: map[string]bool{}}
	if _, err := r.upgrade.Execute(context.Background(), m, r.spec); !errors.Is(err, executors.ErrStopping) {
		t.Fatal(err) // it died with the plan on disk
	}
	dir, err := r.host.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := filepath.Glob(filepath.Join(dir, "*.run"))
	if err != nil || len(fetched) != 2 {
		t.Fatal(fetched, err)
	}
	for _, file := range fetched { // a link to the cache: both are altered
		if err := os.WriteFile(file, []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.Replay()
	if _, err := m.toEnd(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if got := len(r.started()); got != 2 {
		t.Errorf("the true installers ran %d times", got)
	}
}
