package fakehost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Command is what a host's init runs.
type Command struct {
	// Argv is the program, looked up in PATH, and its arguments.
	Argv []string
	// Env is added to this process's environment; FAKEHOST_DIR is set besides.
	Env []string
	// NoRestart leaves the command down when it ended by itself. Without it init starts
	// it again after 100 ms, then 200 ms ... 2 s, unless it exited with 78.
	NoRestart bool
	// Grace is how long a reboot or a poweroff waits between SIGTERM and SIGKILL; if
	// zero, everything is killed at once.
	Grace time.Duration
	// Delay is how long a reboot takes to begin after whoever asked for it was
	// answered, as a service manager takes; if zero, the answer comes when the host is
	// up again.
	Delay time.Duration
}

// Machine is a host that runs: its init is a child process of the caller.
type Machine struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
	once  sync.Once
	err   error
}

// Boot starts the host's init, which starts the command, and returns when both run.
// When ctx ends, Stop is called or the calling process dies, init kills every process
// of the host and ends. A host runs under one init at a time; booting it again after
// that is a power cycle. What init and the command print goes to Host.Console.
func (h *Host) Boot(ctx context.Context, c Command) (*Machine, error) {
	if h.ping() == nil {
		return nil, fmt.Errorf("fakehost: an init already runs for %s", h.dir)
	}
	console, err := os.OpenFile(h.Console(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	args := []string{"boot", "--dir", h.dir, "--until-eof", fmt.Sprintf("--restart=%t", !c.NoRestart), "--grace", c.Grace.String(), "--delay", c.Delay.String(), "--"}
	cmd := exec.Command(h.binaryPath(), append(args, c.Argv...)...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m := &Machine{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	go func() {
		m.err = cmd.Wait()
		close(m.ended)
	}()
	if err := h.awaitInit(ctx, m.ended); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	context.AfterFunc(ctx, func() { _ = m.Stop() })
	return m, nil
}

// Console is the file that holds what init and the host's command printed, over all boots.
func (h *Host) Console() string { return filepath.Join(h.dir, "run", "console.log") }

// Stop kills every process of the host and ends its init. It may be called again.
func (m *Machine) Stop() error {
	m.once.Do(func() { m.stdin.Close() })
	<-m.ended
	return m.err
}

// Done is closed when init has ended.
func (m *Machine) Done() <-chan struct{} { return m.ended }

// awaitInit waits until init answers, which it does when its command runs.
func (h *Host) awaitInit(ctx context.Context, ended <-chan struct{}) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ended:
			text, _ := os.ReadFile(h.Console())
			return fmt.Errorf("fakehost: init ended: %s", text[max(0, len(text)-2000):])
		case <-tick.C:
			if h.ping() == nil {
				return nil
			}
		}
	}
}

// ping is nil when an init answers.
func (h *Host) ping() error {
	return h.ask("ping", func() error { return errors.New("fakehost: no init runs") })
}
