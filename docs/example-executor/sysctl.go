// Package example is a complete executor, to be read before writing another.
//
// It gives a kernel parameter a value. The agent may call Execute again from
// the top, after a crash or a restart of the host; the two rules of replay make
// that safe, and each is pointed out where it is kept.
package example

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// SetSysctl is SYSCTL_SET. An agent has it when executors/builtin lists it:
//
//	"SYSCTL_SET": example.SetSysctl{},
type SetSysctl struct{}

// Describe is optional. The patterns are checked before Execute sees a spec.
func (SetSysctl) Describe() protocol.ItemType {
	return protocol.ItemType{
		Description:    "Give a kernel parameter a value, until the next restart.",
		TimeoutSeconds: 60,
		Params: []protocol.Param{
			{Name: "name", Required: true, Pattern: `[a-z0-9_]+(\.[a-z0-9_]+)+`, Description: "Such as vm.swappiness."},
			{Name: "value", Required: true, Pattern: `[0-9]{1,18}`, Description: "A number."},
		},
	}
}

// Execute sets the parameter unless it has its value already.
func (SetSysctl) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	name, want := spec["name"], spec["value"]
	read := func(context.Context) (string, error) {
		text, err := fs.ReadFile(host.Files(), "proc/sys/"+strings.ReplaceAll(name, ".", "/"))
		return strings.TrimSpace(string(text)), err
	}

	// Rule: whatever decides which actions follow is read inside a memo. Read
	// without one, a replay would find the new value, ask for no command, and
	// report that nothing had been done.
	before, err := executors.Memo(ctx, host, "before", read)
	if err != nil {
		return executors.Result{}, fmt.Errorf("read %s: %w; nothing was changed", name, err)
	}
	if before == want {
		// Unchanged: a task that asks for a restart of the host does without it.
		return executors.Result{Message: fmt.Sprintf("%s was %s already", name, want), Unchanged: true}, nil
	}

	// Rule: the host is touched only through host. This starts sysctl once; a
	// replay is answered with how it ended, or waits for it if it still runs.
	set := executors.Command{
		Step: "set", Argv: []string{"sysctl", "-w", name + "=" + want}, Timeout: 10 * time.Second, Kill: executors.KillTree,
	}
	done := executors.Result{Message: fmt.Sprintf("%s is %s, was %s", name, want, before)}
	exit, err := host.Command(ctx, set)
	if errors.Is(err, executors.ErrInterrupted) {
		// It was cut in the middle: look, inside a memo again, before acting a
		// second time. The verdict will name the second attempt.
		found, lookErr := executors.Memo(ctx, host, "after-interruption", read)
		if lookErr != nil {
			return executors.Result{}, fmt.Errorf("read %s after an interruption: %w", name, lookErr)
		}
		if found == want {
			return done, nil
		}
		exit, err = host.Command(ctx, set)
	}
	if err != nil {
		return executors.Result{}, err
	}
	if exit.Code != 0 {
		return executors.Result{}, executors.Fail(protocol.StepFailed,
			"Program sysctl ended with exit code %d; %s was %s before. Read the task's output for the reason.", exit.Code, name, before)
	}
	return done, nil
}
