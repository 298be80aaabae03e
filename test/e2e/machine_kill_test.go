package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"devserver-agent/test/support/wait"
)

// What is killed as a whole must not go on in part: a shell that has just forked leaves a
// child. The test kills some again and again that do nothing but fork, and whose children
// say at their end that they went on.
func TestKillBelowLeavesNothing(t *testing.T) {
	t.Parallel()
	for range 5 {
		mark := filepath.Join(t.TempDir(), "mark")
		forks := fmt.Sprintf("for n in 1 2 3 4 5 6 7 8 9 10; do while :; do (sleep 0.02; echo >>%s); done & done; wait", mark)
		// The one above it, as a shim is, waits for it.
		shim := exec.Command("sh", "-c", `sh -c "$1"; exit 7`, "sh", forks)
		if err := shim.Start(); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "it forks", func() error { _, err := os.Stat(mark); return err })
		if killBelow(t, shim.Process.Pid) == 0 {
			t.Error("nothing was killed")
		}
		before := sizeOf(t, mark)
		if err := shim.Wait(); shim.ProcessState.ExitCode() != 7 {
			t.Errorf("the one above ended with %v", err)
		}
		wait.Until(t, "all of it ends", func() error {
			lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
			if err != nil {
				return err
			}
			for _, path := range lines {
				if line, _ := os.ReadFile(path); bytes.Contains(line, []byte(mark)) { // it may have ended
					return fmt.Errorf("%s goes on", filepath.Dir(path))
				}
			}
			return nil
		})
		if after := sizeOf(t, mark); after != before {
			t.Errorf("%d of it went on to their end", after-before)
		}
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// Between vfork(2) and its exec a child has its parent wait, and that is not halted before
// it is over. Python's posix_spawn makes such a pair, here with a child that waits to open
// a pipe to which nobody writes.
func TestKillBelowInTheMiddleOfAFork(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Fatalf("scripts/test installs it: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	spawn := fmt.Sprintf(`import os; os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, %q, os.O_RDONLY, 0)])`, pipe)
	shim := exec.Command("sh", "-c", `python3 -c "$1"; exit 7`, "sh", spawn)
	if err := shim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { signal(below(shim.Process.Pid)) }) // of a test that failed
	wait.Until(t, "it forks", func() error {
		states := string(statesBelow(shim.Process.Pid))
		if states != "DS" {
			return errors.New("the states are " + states)
		}
		return nil
	})
	if killed := killBelow(t, shim.Process.Pid); killed != 2 {
		t.Errorf("%d were killed", killed)
	}
	if err := shim.Wait(); shim.ProcessState.ExitCode() != 7 {
		t.Errorf("the one above ended with %v", err)
	}
}

// statesBelow are the states of what descends from a process, sorted.
func statesBelow(pid int) (states []byte) {
	for _, p := range below(pid) {
		states = append(states, processState(p))
	}
	slices.Sort(states)
	return states
}
