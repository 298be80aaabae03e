// Package container holds COMMON and SERVICE_DEPLOY: work that comes as a container
// image and runs through the container engine of the host, Docker or Podman, over the
// API of its socket.
//
// The engine is spoken to by a program of the agent's own, "devserver-agent container
// VERB", which is a step like any other: it goes on when the agent dies. The container
// has a name that is made of the item's, and the program looks for it before it makes
// one. So whoever dies,
//
//	before the container is made     -> it is made by the next attempt
//	made, not started                -> the next attempt starts it: the engine says that it never ran
//	while it runs                    -> the next attempt attaches to it again
//	ended, the step's end not known  -> the next attempt reads its exit code; it is started once only
//
// and it is removed by a step of its own when its end is on record.
package container

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Engine is how the executors reach the host's container engine.
type Engine struct {
	// Program is the argv that runs Main; the verb is added.
	Program []string
	// Sockets are where the engine's socket may be, the first that is there counts;
	// nil: the usual places of Docker and Podman.
	Sockets []string
	// StopTimeout is how long a container that is told to stop may take until the engine
	// kills it, in whole seconds; 0: 25 s, and 20 s for the former container of a service.
	StopTimeout time.Duration
}

// Common is the executor of COMMON: it runs a container to its end.
type Common struct{ Engine Engine }

const (
	stopTimeout        = 25 * time.Second
	serviceStopTimeout = 20 * time.Second
	// stopMargin is how much longer the step may take that has the container stopped: to
	// see its end and read the last of its output.
	stopMargin = 5 * time.Second
	attempts   = 4 // at a step that was cut
)

// Execute runs the container. It fails with CONTAINER_FAILED when it ends with
// another exit code than 0, or the engine does not run it.
func (c Common) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	run, err := c.Engine.order(ctx, host, spec)
	if err != nil {
		return executors.Result{}, err
	}
	exit, err := c.Engine.step(ctx, host, "run", run)
	if errors.Is(err, executors.ErrStopping) || errors.Is(err, executors.ErrDiverged) {
		return executors.Result{}, err
	}
	firm, done := executors.WithoutCancel(ctx)
	defer done()
	if _, removal := c.Engine.step(firm, host, "remove", run); removal != nil {
		if errors.Is(removal, executors.ErrStopping) {
			return executors.Result{}, removal
		}
		host.Printf("the container %s is left behind: %v\n", run.Name, removal)
	}
	switch {
	case err != nil:
		return executors.Result{}, err
	case exit.Code == exitEngine:
		return executors.Result{}, executors.Fail(protocol.ContainerFailed, "The container engine did not run %s. See the task's output for what it said.", run.Image)
	case exit.Code != 0:
		return executors.Result{}, executors.Fail(protocol.ContainerFailed, "The container of %s ended with exit code %d. See the task's output.", run.Image, exit.Code)
	}
	return executors.Result{Message: fmt.Sprintf("The container of %s ended well after %s.", run.Image, exit.Took.Round(time.Second))}, nil
}

// Deploy is the executor of SERVICE_DEPLOY: it has a container run as a service, which
// the engine starts again when it ends or the host restarts.
type Deploy struct{ Engine Engine }

// Execute brings the service to what is asked for. One that runs as asked is left
// alone; a new one that does not stay up is taken away, and the former runs again.
func (d Deploy) Execute(ctx context.Context, host executors.Host, spec executors.Spec) (executors.Result, error) {
	run, err := d.Engine.order(ctx, host, spec)
	if err != nil {
		return executors.Result{}, err
	}
	exit, err := d.Engine.step(ctx, host, "deploy", run)
	switch {
	case err != nil:
		return executors.Result{}, err
	case exit.Code == exitUnchanged:
		return executors.Result{Message: fmt.Sprintf("Service %s runs %s already.", run.Service, run.Image), Unchanged: true}, nil
	case exit.Code == exitEngine:
		return executors.Result{}, executors.Fail(protocol.ContainerFailed, "The container engine did not run %s for service %s. See the task's output for what it said.", run.Image, run.Service)
	case exit.Code != 0:
		return executors.Result{}, executors.Fail(protocol.ContainerFailed, "Service %s did not stay up with %s and is as it was before. See the task's output.", run.Service, run.Image)
	}
	return executors.Result{Message: fmt.Sprintf("Service %s runs %s.", run.Service, run.Image)}, nil
}

// step runs one verb, and once more as long as it is cut: it is made for that.
func (e Engine) step(ctx context.Context, host executors.Host, verb string, run Run) (executors.Exit, error) {
	input, err := json.Marshal(run)
	if err != nil {
		return executors.Exit{}, err
	}
	var exit executors.Exit
	for range attempts {
		exit, err = host.Command(ctx, executors.Command{
			Step: verb, Argv: append(slices.Clone(e.Program), verb), Input: input, Kill: executors.KillTree, Grace: cmp.Or(e.StopTimeout, stopTimeout) + stopMargin,
		})
		if !errors.Is(err, executors.ErrInterrupted) {
			break
		}
	}
	return exit, err
}

// order reads what is asked for, with the devices that the host has at the time.
func (e Engine) order(ctx context.Context, host executors.Host, spec executors.Spec) (Run, error) {
	scratch, err := host.Scratch()
	if err != nil {
		return Run{}, err
	}
	return executors.Memo(ctx, host, "order", func(context.Context) (Run, error) {
		sum := sha256.Sum256([]byte(scratch)) // no other item of this host has it
		run, err := parse(spec)
		if err != nil {
			return Run{}, executors.Fail(protocol.SpecInvalid, "%w. Nothing was started.", err)
		}
		run.Name, run.Sockets = "devserver-"+hex.EncodeToString(sum[:8]), e.Sockets
		run.StopTimeout = int(e.StopTimeout / time.Second)
		if err := run.mapNPUs(host.Files(), spec["npus"]); err != nil {
			return Run{}, executors.Fail(protocol.SpecInvalid, "%w. Nothing was started.", err)
		}
		return run, nil
	})
}
