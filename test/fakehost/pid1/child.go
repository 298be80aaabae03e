package pid1

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/test/fakehost"
)

// begins is when a reboot is to begin.
func (m *machine) begins() <-chan time.Time {
	if m.falling == nil {
		return nil
	}
	return m.falling.C
}

func (m *machine) start() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	// Not os.StartProcess: all children are awaited in reap, adopted ones too.
	m.pid, err = syscall.ForkExec(m.program, m.options.Argv, &syscall.ProcAttr{
		Env:   append(os.Environ(), "FAKEHOST_DIR="+m.host.Dir()),
		Files: []uintptr{null.Fd(), 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", m.program, err)
	}
	m.since = time.Now()
	m.record("start", fakehost.KindAgent, fmt.Sprintf("pid %d", m.pid))
	return nil
}

// reap collects every child that ended, and plans a restart if one was the command.
func (m *machine) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if pid == m.pid {
			m.lost(status)
		}
	}
}

func (m *machine) lost(status unix.WaitStatus) {
	pid := m.pid
	m.pid = 0
	note := fmt.Sprintf("pid %d: exit %d", pid, status.ExitStatus())
	if status.Signaled() {
		note = fmt.Sprintf("pid %d: %s", pid, status.Signal())
	}
	m.record("end", fakehost.KindAgent, note)
	if m.options.NoRestart || status.ExitStatus() == exitConfig {
		return
	}
	if time.Since(m.since) > 5*time.Second {
		m.backoff = 0
	}
	m.backoff = min(max(2*m.backoff, shortBackoff), longBackoff)
	m.again.Reset(m.backoff)
}

func (m *machine) record(name, kind, note string) {
	if err := m.host.Record(fakehost.Event{Kind: kind, Name: name, Note: note}); err != nil {
		fmt.Fprintln(os.Stderr, "fakehost init:", err)
	}
}
