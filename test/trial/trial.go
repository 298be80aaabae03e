// Package trial is an executor for the tests of the agent: its spec says which
// steps it takes, and its program leaves a line for every time it was really
// started, so that a test can count.
//
// Spec:
//
//	program  path of a program that calls Program when its first argument is Arg
//	starts   path of the file that gets a line for every start
//	steps    blank-separated steps, NAME:KIND[:NUMBER]; see Program for kinds
//	policy   what to do about an interrupted step: retry (default) or give-up
//	result   fail, panic or "" (default): how Execute ends after its steps
package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Type and SharedType are the item types to register an Executor under: one has
// the host alone, one does not.
const (
	Type       = "TRIAL"
	SharedType = "TRIAL_SHARED"
)

// retries bounds how often an interrupted step is taken again.
const retries = 6

// Executor takes the steps its spec names.
type Executor struct{ Shared bool }

// Registry adds the trial executors to those of byType.
func Registry(byType map[string]executors.Executor) executors.Registry {
	all := map[string]executors.Executor{Type: Executor{}, SharedType: Executor{Shared: true}}
	for name, e := range byType {
		all[name] = e
	}
	return executors.NewRegistry(all)
}

// Describe implements executors.Describer.
func (e Executor) Describe() protocol.ItemType {
	text := func(name string, required bool) protocol.Param {
		return protocol.Param{Name: name, Required: required, Pattern: ".*", Description: "see package trial"}
	}
	return protocol.ItemType{
		Template: "COMMON", Description: "Takes the steps it is told to.", Exclusive: !e.Shared, TimeoutSeconds: 1800,
		Params: []protocol.Param{text("program", true), text("starts", true), text("steps", true), text("policy", false), text("result", false), text("memo", false)},
	}
}

// Execute implements executors.Executor.
func (Executor) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	// What the steps are is a decision, so a replay must find the same.
	steps, err := executors.Memo(ctx, host, "plan", func(context.Context) ([]string, error) {
		return strings.Fields(spec["steps"]), nil
	})
	if err != nil {
		return executors.Result{}, err
	}
	for n, step := range steps {
		host.Progress(100*n/len(steps), step)
		host.Printf("step %s\n", step)
		if err := take(ctx, host, spec, step); err != nil {
			return executors.Result{}, err
		}
	}
	switch spec["result"] {
	case "fail":
		return executors.Result{}, executors.Fail(protocol.ExecutorFailed, "the trial was told to fail")
	case "panic":
		panic("the trial was told to panic")
	}
	return executors.Result{Message: fmt.Sprintf("%d steps done", len(steps))}, nil
}

func take(ctx context.Context, host executors.Host, spec executors.Spec, step string) error {
	name, kind, _ := strings.Cut(step, ":")
	cmd := executors.Command{
		Step: name, Argv: []string{spec["program"], Arg, spec["starts"], name, kind},
		Kill: executors.KillTree, Timeout: 20 * time.Minute, Grace: time.Second,
	}
	if strings.HasPrefix(kind, "stubborn") {
		cmd.Kill = executors.KillNever
	}
	exit, err := host.Command(ctx, cmd)
	for range retries {
		if !errors.Is(err, executors.ErrInterrupted) || spec["policy"] == "give-up" {
			break
		}
		exit, err = host.Command(ctx, cmd)
	}
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return executors.Fail(protocol.StepFailed, "step %s ended with exit code %d", name, exit.Code)
	}
	return nil
}
