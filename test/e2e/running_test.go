package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"devserver-agent/test/support/wait"
	"devserver-agent/test/trial"
)

// running is a process that a host's agents left behind: a shim, or a program
// of the trial.
type running struct {
	pid  int
	shim bool
	step string // of a program
}

func (p running) kill() { _ = syscall.Kill(p.pid, syscall.SIGKILL) } // it may have ended

// running finds the processes of this host by its folder, which is in their
// arguments.
func (h *host) running() []running {
	var found []running
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	h.must(err)
	for _, path := range entries {
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(raw, []byte(h.dir)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		h.must(err)
		args := strings.Split(string(raw), "\x00")
		if len(args) < 3 || dead(pid) {
			continue
		}
		switch {
		case args[1] == "step":
			// A program that is not executed yet looks like its shim.
			session, err := syscall.Getpgid(pid)
			found = append(found, running{pid: pid, shim: err == nil && session == pid})
		case args[1] == trial.Arg && len(args) > 3:
			found = append(found, running{pid: pid, step: args[3]})
		}
	}
	return found
}

// dead reports whether a process is gone or waits to be reaped.
func dead(pid int) bool {
	state := processState(pid)
	return state == 'Z' || state == 'X'
}

// processState is the third field of proc_pid_stat(5), X for a process that is gone.
func processState(pid int) byte {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 'X'
	}
	_, rest, _ := bytes.Cut(raw[max(0, bytes.LastIndexByte(raw, ')')):], []byte(" "))
	if len(rest) == 0 {
		return 'X'
	}
	return rest[0]
}

// shims and programs are those that run.
func (h *host) shims() (found []running) {
	for _, p := range h.running() {
		if p.shim {
			found = append(found, p)
		}
	}
	return found
}

func (h *host) programs() (found []running) {
	for _, p := range h.running() {
		if p.step != "" {
			found = append(found, p)
		}
	}
	return found
}

// awaitProgram waits until a step's program runs and has noted its start: one
// that is killed before would not be counted.
func (h *host) awaitProgram(step string) (program running) {
	h.t.Helper()
	wait.Until(h.t, "the program of step "+step+" runs", func() error {
		for _, p := range h.programs() {
			if p.step != step {
				continue
			}
			noted, err := trial.Noted(h.startsFile(), p.pid)
			if noted {
				program = p
				return nil
			}
			h.must(err)
		}
		return fmt.Errorf("these run: %+v", h.running())
	})
	return program
}

// started is how often each step's program was really started.
func (h *host) started() map[string]int {
	h.t.Helper()
	starts, err := trial.Starts(h.startsFile())
	h.must(err)
	return starts
}

// wantStarts checks how often the programs of steps were started.
func (h *host) wantStarts(want map[string]int) {
	h.t.Helper()
	if got := h.started(); fmt.Sprint(got) != fmt.Sprint(want) {
		h.t.Errorf("programs were started %v, want %v", got, want)
	}
}
