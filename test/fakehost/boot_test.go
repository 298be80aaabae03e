package fakehost_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// agent is a program for the host that appends its pid to a file, leaves a process in
// a session of its own behind, and waits. When there is a file named once it first
// deletes that and runs what it says.
func agent(t *testing.T, h *fakehost.Host) (argv []string, notes string) {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
cd %q
( setsid sh -c 'echo orphan $$ >>notes; exec sleep 600' & ) &
echo agent $$ >>notes
trap 'echo term >>notes; exit 0' TERM
while :; do
  if [ -f once ]; then mv once now; . ./now; fi
  sleep 0.02
done
`, dir)
	path := filepath.Join(dir, "agent.sh")
	must(t, os.WriteFile(path, []byte(script), 0o755))
	return []string{path}, filepath.Join(dir, "notes")
}

// tell makes the agent run a line of shell.
func tell(t *testing.T, notes, line string) {
	t.Helper()
	temp := filepath.Join(filepath.Dir(notes), "once.new")
	must(t, os.WriteFile(temp, []byte(line+"\n"), 0o644))
	must(t, os.Rename(temp, filepath.Join(filepath.Dir(notes), "once")))
}

// pids are the numbers that the agent's notes hold beside a word.
func pids(notes, word string) []int {
	raw, _ := os.ReadFile(notes)
	var found []int
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == word {
			pid, _ := strconv.Atoi(fields[1])
			found = append(found, pid)
		}
	}
	return found
}

func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(raw, []byte(") Z "))
}

func boot(t *testing.T, h *fakehost.Host, c fakehost.Command) *fakehost.Machine {
	t.Helper()
	m, err := h.Boot(t.Context(), c)
	must(t, err)
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return m
}

// started waits until the agent and what it leaves behind have started n times.
func started(t *testing.T, notes string, n int) (agent, orphan int) {
	t.Helper()
	wait.For(t, fmt.Sprintf("start %d of the agent", n), func() bool {
		return len(pids(notes, "agent")) == n && len(pids(notes, "orphan")) == n
	})
	return pids(notes, "agent")[n-1], pids(notes, "orphan")[n-1]
}

func TestARebootByTheAgentKillsAllOfItAndActivates(t *testing.T) {
	t.Parallel()
	h := fakehost.ForTest(t, fakehost.A2, fakehost.Options{})
	argv, notes := agent(t, h)
	boot(t, h, fakehost.Command{Argv: argv})
	agent, orphan := started(t, notes, 1)
	next := fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.5.220"}
	must(t, h.Update(func(s *fakehost.State) error { s.Installed, s.Pending = next, next; return nil }))
	before := state(t, h)

	tell(t, notes, strings.Join(h.RebootCommand(), " ")+" -f; echo survived 1 >>notes")
	started(t, notes, 2)

	if alive(agent) || alive(orphan) {
		t.Errorf("after the reboot the agent lives: %v, its setsid'ed child lives: %v", alive(agent), alive(orphan))
	}
	if len(pids(notes, "survived")) != 0 {
		t.Error("the agent went on after its reboot command")
	}
	s := state(t, h)
	if s.Running() != next || s.BootID == before.BootID || s.Boots != 2 {
		t.Errorf("boot %d (%s, before %s) runs %v, want %v", s.Boots, s.BootID, before.BootID, s.Running(), next)
	}
	if s.Pending != (fakehost.Release{}) {
		t.Errorf("%v is still pending", s.Pending)
	}
}

func TestInitRestartsADeadAgentWithinTheSameBoot(t *testing.T) {
	t.Parallel()
	h := fakehost.ForTest(t, fakehost.P310, fakehost.Options{})
	argv, notes := agent(t, h)
	boot(t, h, fakehost.Command{Argv: argv})
	agent, orphan := started(t, notes, 1)
	must(t, unix.Kill(agent, unix.SIGKILL))
	started(t, notes, 2)
	if s := state(t, h); s.Boots != 1 {
		t.Errorf("the death of the agent is boot %d", s.Boots)
	}
	if !alive(orphan) {
		t.Error("what the agent left behind died with it")
	}
}

func TestACommandThatIsNotRestartedStaysDownUntilTheReboot(t *testing.T) {
	tests := []struct {
		name    string
		command string
		never   bool
	}{
		{"told not to restart", "exit 1", true},
		{"bad configuration", "exit 78", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := fakehost.ForTest(t, fakehost.P310, fakehost.Options{})
			notes := filepath.Join(t.TempDir(), "notes")
			boot(t, h, fakehost.Command{
				Argv: []string{"sh", "-c", fmt.Sprintf("echo ran $$ >>%q; %s", notes, tt.command)}, NoRestart: tt.never,
			})
			ends := func() int {
				journal, err := h.Events()
				must(t, err)
				return len(journal.Of(fakehost.KindAgent, "end"))
			}
			wait.For(t, "the first end", func() bool { return ends() == 1 })
			must(t, h.Reboot())
			wait.For(t, "the second end", func() bool { return ends() == 2 })
			if got := len(pids(notes, "ran")); got != 2 {
				t.Errorf("the command ran %d times in two boots", got)
			}
		})
	}
}

func TestPoweroffLastsUntilPoweron(t *testing.T) {
	tests := map[string]func(*fakehost.Host) error{"poweroff": (*fakehost.Host).PowerOff, "power-cut": (*fakehost.Host).PowerCut}
	for name, off := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := fakehost.ForTest(t, fakehost.P310, fakehost.Options{})
			argv, notes := agent(t, h)
			boot(t, h, fakehost.Command{Argv: argv, Grace: 10 * time.Second})
			agent, orphan := started(t, notes, 1)
			must(t, off(h))
			if alive(agent) || alive(orphan) || state(t, h).Power != fakehost.Off {
				t.Errorf("power is %s and the agent lives: %v", state(t, h).Power, alive(agent))
			}
			raw, err := os.ReadFile(notes)
			must(t, err)
			if warned := bytes.Contains(raw, []byte("term")); warned != (name == "poweroff") {
				t.Errorf("the agent was warned: %v", warned)
			}
			must(t, h.PowerOn())
			started(t, notes, 2)
			if s := state(t, h); s.Power != fakehost.On || s.Boots != 2 {
				t.Errorf("after poweron: %s, boot %d", s.Power, s.Boots)
			}
			if err := h.PowerOn(); err == nil {
				t.Error("a host that is on can be powered on")
			}
		})
	}
}

func TestStoppingInitLeavesNoProcessAndTheNextInitIsANewBoot(t *testing.T) {
	t.Parallel()
	h := fakehost.ForTest(t, fakehost.P310, fakehost.Options{})
	argv, notes := agent(t, h)
	m := boot(t, h, fakehost.Command{Argv: argv})
	agent, orphan := started(t, notes, 1)
	if _, err := h.Boot(t.Context(), fakehost.Command{Argv: argv}); err == nil {
		t.Error("a second init may run")
	}
	must(t, m.Stop())
	if alive(agent) || alive(orphan) {
		t.Error("processes outlive their host's init")
	}
	boot(t, h, fakehost.Command{Argv: argv})
	started(t, notes, 2)
	if s := state(t, h); s.Boots != 2 {
		t.Errorf("the second init runs boot %d, want 2", s.Boots)
	}
}

func TestADelayedRebootIsAnsweredFirstAndBeginsOnce(t *testing.T) {
	t.Parallel()
	h := fakehost.ForTest(t, fakehost.P310, fakehost.Options{})
	argv, notes := agent(t, h)
	boot(t, h, fakehost.Command{Argv: argv, Delay: 300 * time.Millisecond})
	first, _ := started(t, notes, 1)
	for range 2 {
		must(t, h.Reboot())
		if !alive(first) || state(t, h).Boots != 1 {
			t.Errorf("the agent lives: %v, in boot %d", alive(first), state(t, h).Boots)
		}
	}
	started(t, notes, 2)
	if got := state(t, h).Boots; alive(first) || got != 2 {
		t.Errorf("the first agent lives: %v, in boot %d", alive(first), got)
	}
}
