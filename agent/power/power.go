// Package power restarts the host, and nothing else does.
//
// It keeps no state: that a restart was asked for is in the journal before it
// gets here. Dies before the command has run: the next agent finds itself in the
// same boot and asks again. Dies after it: the host is on its way down.
package power

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

// Restarter asks for a restart of the host.
type Restarter struct {
	// Command is the program and its arguments that restart the host. None: it
	// cannot be restarted.
	Command []string
	// Delay is the time between the announcement and the command.
	Delay time.Duration
	Tools step.Tools
}

// Available reports whether the host can be restarted at all.
func (r Restarter) Available() bool { return len(r.Command) > 0 }

// Ask has the host restarted. nil means that the host is going down, or was
// asked to and has not answered yet; how long to believe that is the caller's
// affair.
func (r Restarter) Ask(ctx context.Context) error {
	if !r.Available() {
		return executors.ErrNoRestart
	}
	delay := time.NewTimer(r.Delay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	reply, err := r.Tools.Query(ctx, r.Command...)
	switch {
	case errors.Is(err, executors.ErrTimeout), errors.Is(err, executors.ErrFlood):
		return nil // it was cut and may have asked; some only return when the host is down
	case err != nil:
		return fmt.Errorf("restart the host: %w", err)
	case reply.Code != 0:
		said := strings.TrimSpace(string(reply.Output[:min(len(reply.Output), 500)]))
		return fmt.Errorf("restart the host: %s ended with exit code %d: %s", r.Command[0], reply.Code, said)
	}
	return nil
}
