package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// boots has the host's own init run the agent: it starts the agent again when
// that dies, and a restart of the host ends everything that runs on it. From
// then on the host is not ended by kill but by its init.
func (h *npuHost) boots() { h.bootsAndFalls(0) }

// bootsAndFalls is boots for a host that goes down only some time after it was
// asked to restart.
func (h *npuHost) bootsAndFalls(after time.Duration) {
	h.t.Helper()
	machine, err := h.fake.Boot(h.t.Context(), fakehost.Command{Argv: h.command("run").Args, Env: h.env(), Delay: after})
	h.must(err)
	h.machine = machine
	h.t.Cleanup(h.ends)
}

// ends ends everything that runs on the host and keeps what the agents said.
func (h *npuHost) ends() {
	err := h.machine.Stop()
	console, unread := os.ReadFile(h.fake.Console())
	if err := errors.Join(err, unread, os.WriteFile(h.logFile(), console, 0o600)); err != nil {
		h.t.Error(err)
	}
}

// restarts is a restart that no agent asked for.
func (h *npuHost) restarts() {
	h.t.Helper()
	h.restarted++
	h.must(h.fake.Reboot())
}

// powerCycle is a pulled plug that is put back.
func (h *npuHost) powerCycle() {
	h.t.Helper()
	h.must(h.fake.PowerCut())
	h.must(h.fake.PowerOn())
}

// killAgent is kill -9 of the agent, and of nothing else.
func (h *npuHost) killAgent() {
	h.t.Helper()
	signal(h.pids("run"))
}

// freezeAgent halts the agent, and nothing else.
func (h *npuHost) freezeAgent() {
	h.t.Helper()
	for _, pid := range h.pids("run") {
		h.must(syscall.Kill(pid, syscall.SIGSTOP))
	}
}

// killShims is kill -9 of the shims; what they started goes on.
func (h *npuHost) killShims() (killed int) {
	h.t.Helper()
	return signal(h.shimPIDs())
}

// killInstallers is kill -9 of everything that shims started.
func (h *npuHost) killInstallers() (killed int) {
	h.t.Helper()
	for _, shim := range h.shimPIDs() {
		killed += killBelow(h.t, shim)
	}
	return killed
}

// killBelow is kill -9 of all that descends from a process. All of it is halted before:
// what is killed while another part forks would leave a child that goes on alone.
func killBelow(t testing.TB, pid int) (killed int) {
	t.Helper()
	halt := func() (running []int) {
		for _, p := range below(pid) {
			if !halted(p) {
				_ = syscall.Kill(p, syscall.SIGSTOP) // it may have ended
				running = append(running, p)
			}
		}
		return running
	}
	wait.Until(t, "all of it is halted", func() error {
		// The second look sees what was forked during the first one.
		if running := append(halt(), halt()...); len(running) > 0 {
			return fmt.Errorf("%v go on", running)
		}
		return nil
	})
	return signal(below(pid))
}

// halted reports whether a process does nothing more before it is killed. One that waits
// in vfork(2) for a child that is halted is too: no signal but SIGKILL ends that wait, and
// one to halt is obeyed as soon as the child is gone.
func halted(pid int) bool {
	switch processState(pid) {
	case 'T', 'Z', 'X':
		return true
	case 'D':
		return slices.ContainsFunc(children(pid), func(p int) bool { return processState(p) == 'T' })
	}
	return false
}

func signal(pids []int) int {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
	return len(pids)
}

// pids are the processes of the host's agent program with a verb.
func (h *npuHost) pids(verb string) (found []int) {
	h.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	h.must(err)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(raw, []byte(h.dir)) {
			continue
		}
		args := strings.Split(string(raw), "\x00")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && len(args) > 2 && args[0] == h.binary && args[1] == verb && !dead(pid) {
			found = append(found, pid)
		}
	}
	return found
}

// shimPIDs are the shims; a program that is not executed yet looks like its shim.
func (h *npuHost) shimPIDs() (found []int) {
	for _, pid := range h.pids("step") {
		if group, err := syscall.Getpgid(pid); err == nil && group == pid {
			found = append(found, pid)
		}
	}
	return found
}

// below are all processes that descend from one.
func below(pid int) (all []int) {
	for _, child := range children(pid) {
		all = append(append(all, child), below(child)...)
	}
	return all
}

func children(pid int) (found []int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, thread := range threads {
		raw, _ := os.ReadFile(thread) // it may have ended
		for _, field := range strings.Fields(string(raw)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// events is the host's journal.
func (h *npuHost) events() fakehost.Journal {
	h.t.Helper()
	events, err := h.fake.Events()
	h.must(err)
	return events
}

// installs are the installers that were started, in order: "firmware 7.5.0".
func (h *npuHost) installs() (started []string) {
	h.t.Helper()
	for _, e := range h.events().Of(fakehost.KindStart, "") {
		if kind, is := strings.CutSuffix(e.Name, "-installer"); is {
			started = append(started, kind+" "+e.Note)
		}
	}
	return started
}

// restartsByAgent counts the restarts that an agent asked for.
func (h *npuHost) restartsByAgent() int {
	h.t.Helper()
	return len(h.events().Of(fakehost.KindPower, "reboot")) - h.restarted
}

// state is what is installed and runs.
func (h *npuHost) state() fakehost.State {
	h.t.Helper()
	s, err := h.fake.State()
	h.must(err)
	return s
}
