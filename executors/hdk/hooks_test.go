package hdk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// hooked gives an A2 the hooks cordon and stop before, and start and uncordon after.
// Each notes that it ran; body is what the one of that name does then.
func hooked(t *testing.T, body map[string]string) *rig {
	t.Helper()
	r := newRig(t, fakehost.A2, fakehost.Options{})
	r.spec = executors.Spec{"version": "24.1.0.3"}
	for _, name := range []string{"cordon", "stop", "start", "uncordon"} {
		script := fmt.Sprintf("#!/bin/sh\necho \"%s $DEVSERVER_PHASE $DEVSERVER_HDK\" >>%s\n%s\n", name, r.fake.Path("/hooks"), body[name])
		path := r.fake.Path("/etc/site/" + name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.upgrade.Hooks = hdk.Hooks{Before: []string{"/etc/site/cordon", "/etc/site/stop"}, After: []string{"/etc/site/start", "/etc/site/uncordon"}, Limit: 5 * time.Second}
	return r
}

// ran lists the hooks that ran.
func (r *rig) ran() string {
	r.Helper()
	text, err := os.ReadFile(r.fake.Path("/hooks"))
	if err != nil && !os.IsNotExist(err) {
		r.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, " ")
		if want := map[bool]string{true: "before 24.1.0.3\n", false: "after 24.1.0.3\n"}[name == "cordon" || name == "stop"]; rest != want {
			r.Errorf("%s was given %q, want %q", name, rest, want)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestHooksAroundAnUpgrade(t *testing.T) {
	const all = "cordon stop start uncordon"
	// As a site's would: the job that holds NPUs is a fault of the fake host.
	for name, c := range map[string]struct {
		body     map[string]string
		faults   []fault
		cut      string
		hangs    string // the step of the one that sleeps
		spec     executors.Spec
		noReboot bool
		ran      string
		started  int
		code     protocol.Code
		says     string
	}{
		"all is well":            {ran: all, started: 2, says: newA2},
		"without a restart":      {ran: all, started: 2, noReboot: true, code: protocol.RebootRequired, says: "becomes active after a restart"},
		"nothing to do":          {spec: executors.Spec{"version": "24.1.0"}, says: oldA2},
		"only planned":           {spec: executors.Spec{"version": "24.1.0.3", "dry_run": "true"}},
		"refused before":         {faults: []fault{{fakehost.CardAlarm, nil}}, code: protocol.HDKCardUnhealthy, says: "Not begun, nothing was changed"},
		"one before fails":       {body: map[string]string{"stop": "exit 3"}, ran: all, code: protocol.HDKHookFailed, says: "Not begun, nothing was installed: stop failed with exit code 3."},
		"one before hangs":       {body: map[string]string{"cordon": "sleep 60"}, hangs: "before-1", ran: "cordon start uncordon", code: protocol.HDKHookFailed, says: "cordon did not end within 5s"},
		"NPUs are still in use":  {faults: []fault{{fakehost.BusyProcess, nil}}, ran: all, code: protocol.HDKInUse, says: "NPUs are in use by process 40213"},
		"it ends who uses NPUs":  {faults: []fault{{fakehost.BusyProcess, nil}}, body: map[string]string{"stop": "FREE"}, ran: all, started: 2, says: newA2},
		"an installer fails":     {faults: []fault{{fakehost.InstallFailsAt, []string{"kind=driver"}}}, ran: all, started: 2, code: protocol.HDKInstallFailed, says: "The installer of driver 24.1.0.3 failed"},
		"the new one stays away": {faults: []fault{{fakehost.VersionStaysOld, nil}}, ran: all, started: 2, code: protocol.HDKNotActive, says: "does not run"},
		"one after fails":        {body: map[string]string{"uncordon": "exit 1"}, ran: all, started: 2, code: protocol.HDKHookFailed, says: newA2 + " | Uncordon failed with exit code 1: the host may be kept from work."},
		"the upgrade fails and one after too": {body: map[string]string{"start": "exit 1"}, faults: []fault{{fakehost.InstallFailsAt, []string{"kind=firmware"}}}, ran: all, started: 1,
			code: protocol.HDKInstallFailed, says: " Start failed with exit code 1: the host may be kept from work."},
		"one was cut": {cut: "before-2", ran: "cordon stop stop start uncordon", started: 2, says: newA2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := map[string]string{}
			for hook, script := range c.body {
				body[hook] = script
			}
			r := hooked(t, nil)
			if body["stop"] == "FREE" {
				body["stop"] = fmt.Sprintf("%s fault clear --dir %s busy_process", fakehost.Binary(t), r.fake.Dir())
			}
			for hook, script := range body {
				path := r.fake.Path("/etc/site/" + hook)
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, append(text, script+"\n"...), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			r.set(c.faults...)
			r.reboot = !c.noReboot
			if c.spec != nil {
				r.spec = c.spec
			}
			if c.cut != "" {
				r.host.Cut(c.cut)
			}
			if c.hangs != "" {
				r.host.Hang(c.hangs, func() bool {
					info, err := os.Stat(r.fake.Path("/hooks"))
					return err == nil && info.Size() > 0 // it ran
				})
			}
			code, message := verdictOf(r.run(context.Background()))
			if code != c.code || !strings.Contains(message, c.says) {
				t.Errorf("got  [%s] %s\nwant [%s] ...%s...\n%s", code, message, c.code, c.says, r.host.Output())
			}
			if diff := cmp.Diff(c.ran, r.ran()); diff != "" {
				t.Errorf("hooks (-want +got):\n%s", diff)
			}
			if got := r.started(); len(got) != c.started {
				t.Errorf("installers: %v", got)
			}
		})
	}
}

// A task that is cancelled before the first hook runs none: nothing was taken away.
func TestNoHookRunsOfATaskThatIsCancelledBefore(t *testing.T) {
	r := hooked(t, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	r.host.OnProgress = func(p hosttest.Progress) {
		if strings.HasPrefix(p.What, "checking the archive of driver") {
			cancel(executors.ErrCancelled)
		}
	}
	if _, err := r.run(ctx); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if got := r.ran(); got != "" || r.started() != nil {
		t.Errorf("hooks that ran: %s, installers %v", got, r.started())
	}
}

// Replayed at every point, each hook runs once.
func TestHooksRunOnceHoweverOftenTheyAreReplayed(t *testing.T) {
	r := hooked(t, nil)
	r.host.OnRestart = r.restart
	ctx := context.Background()
	for range 3 {
		r.host.Replay()
		if _, err := r.upgrade.Execute(ctx, r.host, r.spec); err != nil {
			t.Fatal(err)
		}
	}
	r.restart("final")
	for range 3 {
		r.host.Replay()
		if _, err := r.upgrade.Verify(ctx, r.host, r.spec); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.ran(); got != "cordon stop start uncordon" {
		t.Errorf("they ran as %s", got)
	}
}
