// Package plugin makes executors of executables, in any language, for sites that
// have work of their own. docs/plugins.md tells how to write one.
//
// A plug-in is a file in the folder executors.plugin_dir. "FILE describe" prints what
// it can do; "FILE execute" does it and "FILE verify" looks at what came of it. The
// latter two read a JSON object on standard input, print what they like, write what
// they reached to the file that DEVSERVER_RESULT names, and end with
//
//	0    done
//	194  restart the host and call me again
//	75   try again later (EX_TEMPFAIL of sysexits.h)
//
// and with anything else if they failed. Each call is one step: when the agent dies
// it goes on, and a replay answers from what it left. A call that was cut in the
// middle is made again only if the plug-in says that it may be.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Exit codes of a call that is not over.
const (
	exitRestart = 194
	exitLater   = 75
)

const (
	maxCalls    = 24 // of one item
	maxRestarts = 3
	laterAfter  = 30 * time.Second
)

// Plugin is the executor of one type of one plug-in.
type Plugin struct {
	path  string // of the executable
	is    kind
	later time.Duration // between two calls; 0: laterAfter
}

var _ executors.Describer = Plugin{}

// Describe implements executors.Describer.
func (p Plugin) Describe() protocol.ItemType { return p.is.ItemType }

// Execute calls the plug-in until it is done. It fails with EXECUTOR_FAILED or the
// code that the plug-in gives, with STEP_INTERRUPTED when a call was cut that may not
// be made again, and with REBOOT_NOT_ALLOWED when a restart is wanted that the task
// does not allow.
func (p Plugin) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	restarts := 0
	for number := 1; number <= maxCalls; number++ {
		call := call{plugin: p, verb: "execute", step: fmt.Sprintf("execute-%d", number), number: number, restarts: restarts}
		code, result, err := call.make(ctx, host, spec)
		if err != nil {
			return executors.Result{}, err
		}
		switch code {
		case 0:
			return result, nil
		case exitRestart:
			if restarts++; restarts > maxRestarts {
				return executors.Result{}, executors.Fail(protocol.RebootLimit, "%s wants the host restarted for the %dth time.", p.is.Type, restarts)
			}
			err = restart(ctx, host, restarts)
		case exitLater:
			err = p.wait(ctx, host)
		}
		if err != nil {
			return executors.Result{}, err
		}
	}
	return executors.Result{}, executors.Fail(protocol.ExecutorFailed, "%s was called %d times and asks to be called again. See the task's output.", p.is.Type, maxCalls)
}

func restart(ctx context.Context, host executors.Host, number int) error {
	err := host.Restart(ctx, fmt.Sprintf("restart-%d", number))
	if errors.Is(err, executors.ErrNoRestart) {
		return executors.Fail(protocol.RebootNotAllowed, "The plug-in wants the host restarted, which the task does not allow. Create the job with is_reboot.")
	}
	return err
}

// wait lets some time pass before the next call. A replay waits once more.
func (p Plugin) wait(ctx context.Context, host executors.Host) error {
	pause := p.later
	if pause == 0 {
		pause = laterAfter
	}
	host.Progress(0, fmt.Sprintf("%s asks to be called again in %v", p.is.Type, pause))
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
		return nil
	}
}

// verifying is a Plugin that also looks at what came of its work.
type verifying struct{ Plugin }

// Verify implements executors.Verifier.
func (v verifying) Verify(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	for number := 1; number <= maxCalls; number++ {
		call := call{plugin: v.Plugin, verb: "verify", step: fmt.Sprintf("%s%d", executors.VerifyPrefix, number), number: number}
		code, result, err := call.make(ctx, host, spec)
		switch {
		case err != nil:
			return executors.Result{}, err
		case code == 0:
			return result, nil
		case code == exitRestart:
			return executors.Result{}, executors.Fail(protocol.ExecutorFailed, "%s asks for a restart while it verifies, which is too late.", v.is.Type)
		}
		if err := v.wait(ctx, host); err != nil {
			return executors.Result{}, err
		}
	}
	return executors.Result{}, executors.Fail(protocol.ExecutorFailed, "%s is not verified after %d calls. See the task's output.", v.is.Type, maxCalls)
}
