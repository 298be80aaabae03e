// Package power restarts the host, and nothing else does.
//
// It keeps no state: that a restart was asked for is in the journal before it
// gets here. Dies before logind or the command has heard of it: the next agent
// finds itself in the same boot and asks again. Dies after that: the host is on
// its way down, which asking again does not change.
package power

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

// Logind is the word that stands for systemd-logind in place of a command.
const Logind = "logind"

// Restarter asks for a restart of the host.
type Restarter struct {
	// Command is the program and its arguments that restart the host, or Logind
	// alone. None: it cannot be restarted.
	Command []string
	// Delay is the time between the announcement and the restart. logind tells
	// those who are logged in.
	Delay time.Duration
	// Look is the time between two looks whether anything stands against a restart;
	// zero: 2 s.
	Look  time.Duration
	Tools step.Tools
}

// Command is how this host is restarted: as configured, else by logind where
// systemd runs and the host's files are not somewhere else, as in a trial.
func Command(configured []string, root string) []string {
	if _, err := os.Stat("/run/systemd/system"); len(configured) > 0 || root != "/" || err != nil { // sd_booted(3)
		return configured
	}
	return []string{Logind}
}

// Available reports whether the host can be restarted at all.
func (r Restarter) Available() bool { return len(r.Command) > 0 }

func (r Restarter) logind() bool { return len(r.Command) == 1 && r.Command[0] == Logind }

// Ask has the host restarted; why is for those who are logged in. nil means that
// the host is going down, or was asked to and has not answered yet; how long to
// believe that is the caller's affair.
func (r Restarter) Ask(ctx context.Context, why string) error {
	if !r.Available() {
		return executors.ErrNoRestart
	}
	if !r.logind() {
		return r.run(ctx, r.Command...)
	}
	refused := askLogind(ctx, why, r.Delay)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if refused == nil {
		return nil
	}
	// It needs neither logind nor the bus.
	if err := r.run(ctx, systemctl(), "reboot"); err != nil {
		return fmt.Errorf("%w; before that, logind: %w", err, refused)
	}
	return nil
}

// run has a program restart the host.
func (r Restarter) run(ctx context.Context, argv ...string) error {
	delay := time.NewTimer(r.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	reply, err := r.Tools.Query(ctx, argv...)
	switch {
	case errors.Is(err, executors.ErrTimeout), errors.Is(err, executors.ErrFlood):
		return nil // it was cut and may have asked; some only return when the host is down
	case reply.Code == 128+int(syscall.SIGTERM):
		return nil // the shutdown that it asked for has reached it
	case err != nil:
		return fmt.Errorf("restart the host: %w", err)
	case reply.Code != 0:
		said := strings.TrimSpace(string(reply.Output[:min(len(reply.Output), 500)]))
		return fmt.Errorf("restart the host: %s ended with exit code %d: %s", argv[0], reply.Code, said)
	}
	return nil
}

// systemctl is where a merged or an unmerged /usr has it.
func systemctl() string {
	if _, err := os.Stat("/usr/bin/systemctl"); err != nil {
		return "/bin/systemctl"
	}
	return "/usr/bin/systemctl"
}
