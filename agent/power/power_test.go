package power_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/agent/power"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

// command is a host's restart command: a program that notes that it was started
// and then does what the test wants.
func command(t *testing.T, script string) (argv []string, starts func() int) {
	t.Helper()
	dir := t.TempDir()
	path, log := filepath.Join(dir, "restart"), filepath.Join(dir, "starts")
	text := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s\n%s\n", log, script)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{path, "--force", "now"}, func() int {
		raw, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Count(string(raw), "--force now\n")
	}
}

func TestTheCommandSaysWhetherTheHostGoesDown(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		says   []string // none: the host goes down
	}{
		"it obeys":                      {"exit 0", nil},
		"it obeys and talks":            {"head -c 4000000 /dev/zero | tr '\\0' x", nil},
		"the shutdown ends it":          {"kill -TERM $$", nil},
		"it refuses":                    {"echo 'a user is logged in' >&2; exit 4", []string{"exit code 4", "a user is logged in"}},
		"it refuses at length":          {"head -c 100000 /dev/zero | tr '\\0' x; exit 4", []string{"exit code 4: xxx"}},
		"it refuses without a word":     {"exit 1", []string{"exit code 1"}},
		"it is killed before it is due": {"kill -KILL $$", []string{"exit code 137"}},
	} {
		t.Run(name, func(t *testing.T) {
			argv, starts := command(t, c.script)
			err := power.Restarter{Command: argv}.Ask(t.Context(), "test")
			if (err == nil) != (len(c.says) == 0) {
				t.Errorf("error is %v", err)
			}
			for _, want := range c.says {
				if err != nil && (!strings.Contains(err.Error(), want) || len(err.Error()) > 1000) {
					t.Errorf("error is %v, want %q in it", err, want)
				}
			}
			if starts() != 1 {
				t.Errorf("the command ran %d times", starts())
			}
		})
	}
}

// Some commands return only when the host is down, so one that hangs is no
// failure: the time until the host counts as still up is the caller's.
func TestACommandThatDoesNotReturnIsNoFailure(t *testing.T) {
	argv, starts := command(t, "exec sleep 600")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, executors.ErrTimeout)
	defer cancel()
	if err := (power.Restarter{Command: argv}).Ask(ctx, "test"); err != nil {
		t.Errorf("error is %v", err)
	}
	if starts() > 1 {
		t.Errorf("the command ran %d times", starts())
	}
}

func TestWhatCannotRestartTheHost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		restarter power.Restarter
		want      error
	}{
		"nothing is configured":    {power.Restarter{}, executors.ErrNoRestart},
		"the program is not there": {power.Restarter{Command: []string{"reboot-of-nobody"}, Tools: step.Tools{Root: t.TempDir()}}, executors.ErrNotFound},
		"its path leads nowhere":   {power.Restarter{Command: []string{file + ".gone"}}, executors.ErrNotFound},
		"it may not be executed":   {power.Restarter{Command: []string{file}}, os.ErrPermission},
		"its place is elsewhere":   {power.Restarter{Command: []string{"reboot"}, Tools: step.Tools{Paths: map[string]string{"reboot": file + ".gone"}}}, executors.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.restarter.Ask(t.Context(), "test"); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			if c.restarter.Available() != (len(c.restarter.Command) > 0) {
				t.Error("it is wrong about itself")
			}
		})
	}
}

func TestACancelDuringTheDelayRestartsNothing(t *testing.T) {
	argv, starts := command(t, "exit 0")
	ctx, cancel := context.WithCancelCause(t.Context())
	asked := make(chan error)
	go func() { asked <- power.Restarter{Command: argv, Delay: time.Hour}.Ask(ctx, "test") }()
	cancel(executors.ErrCancelled)
	if err := <-asked; !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("error is %v", err)
	}
	if starts() != 0 {
		t.Error("the host is restarted all the same")
	}
}
