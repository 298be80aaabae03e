package installer_test

import (
	"syscall"
	"testing"
	"time"
)

// eventually waits until what holds, or fails the test after some seconds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends an archive's shell and the installer it started.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
