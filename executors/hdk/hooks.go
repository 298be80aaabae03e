package hdk

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// Hooks are a site's own programs around an upgrade: Before takes work away from the
// host (cordons it, stops what holds NPUs: device plugin, exporter), After gives it
// back. Whether NPUs are in use is checked between. They are run when there is
// something to install or to restart for, each as a step; After also when the upgrade
// fails, once it has begun to run Before. The zero value has none.
//
// A hook that was cut is run once more, so it must be fit for that. When the task ends
// between Execute and Verify, as by another item that fails, After is not run: nobody
// has seen what the host runs.
type Hooks struct {
	Before, After []string      // absolute paths
	Limit         time.Duration // of each; 0: 10 min
}

const hookLimit = 10 * time.Minute

// withHooks does the work of an upgrade between the hooks. Those of After follow in
// Verify when it went well.
func (r *run) withHooks(ctx context.Context, work func(context.Context) (executors.Result, error)) (executors.Result, error) {
	workCtx, done := executors.WithoutCancel(ctx)
	defer done()
	// What has begun to be taken away is taken away to its end, or given back.
	if len(r.Hooks.Before) > 0 {
		if err := r.commit(ctx, "hooks"); err != nil {
			return executors.Result{}, err
		}
	}
	err := r.runBeforeHooks(workCtx)
	var result executors.Result
	if err == nil {
		result, err = work(ctx)
	}
	if err == nil || errors.Is(err, executors.ErrStopping) {
		return result, err
	}
	return r.runAfterHooks(workCtx, "", executors.Result{}, err)
}

// runBeforeHooks runs the hooks of Before and then looks who uses the NPUs.
func (r *run) runBeforeHooks(workCtx context.Context) error {
	if len(r.Hooks.Before) == 0 {
		return nil
	}
	for n, hook := range r.Hooks.Before {
		why, err := r.hook(workCtx, fmt.Sprintf("before-%d", n+1), "before", hook)
		switch {
		case err != nil:
			return err
		case why != "":
			return executors.Fail(protocol.HDKHookFailed, "Not begun, nothing was installed: %s. The host: %s. %s", why, r.plan.Before.Message, remedyFor(protocol.HDKHookFailed))
		}
	}
	if r.plan.Strategy == strategyRestart {
		return nil
	}
	found, err := executors.Memo(workCtx, r.host, "use", func(ctx context.Context) ([]finding, error) {
		return r.unlessForced(r.use(ctx, r.plan.Before, ascend.Holders(r.host.Files()))), nil
	})
	if err != nil {
		return err
	}
	r.plan.Findings = append(r.plan.Findings, found...)
	if r.plan.blocked() {
		return r.plan.blockedError()
	}
	return nil
}

// runAfterHooks runs the hooks of After and adds to how the upgrade ended what went wrong
// with them.
func (r *run) runAfterHooks(workCtx context.Context, prefix string, result executors.Result, ended error) (executors.Result, error) {
	trouble := ""
	for n, hook := range r.Hooks.After {
		why, err := r.hook(workCtx, fmt.Sprintf("%safter-%d", prefix, n+1), "after", hook)
		switch {
		case errors.Is(err, executors.ErrStopping):
			return executors.Result{}, err
		case err != nil:
			why = err.Error()
		}
		if why != "" {
			trouble += " " + capital(why) + ": the host may be kept from work."
		}
	}
	var failure *executors.Failure
	switch {
	case trouble == "":
		return result, ended
	case errors.As(ended, &failure):
		return executors.Result{}, &executors.Failure{Code: failure.Code, Message: protocol.Clip(failure.Message + trouble), Err: ended}
	case ended != nil:
		return executors.Result{}, fmt.Errorf("%w.%s", ended, trouble)
	}
	result.Message = protocol.Clip(result.Message + " |" + trouble)
	if result.Code == "" {
		result.Code = protocol.HDKHookFailed
	}
	return result, nil
}

// hook runs one hook. why says that it failed, and how.
func (r *run) hook(ctx context.Context, step, phase, path string) (why string, err error) {
	name := filepath.Base(path)
	limit := r.Hooks.Limit
	if limit == 0 {
		limit = hookLimit
	}
	r.host.Progress(planShare, phase+": "+name)
	for range 2 {
		exit, err := r.host.Command(ctx, executors.Command{
			Step: step, Argv: []string{path}, Timeout: limit, Kill: executors.KillTree,
			Env: []string{"DEVSERVER_PHASE=" + phase, "DEVSERVER_HDK=" + string(r.plan.Target.Driver)},
		})
		switch {
		case errors.Is(err, executors.ErrInterrupted):
			continue
		case errors.Is(err, executors.ErrTimeout):
			return fmt.Sprintf("%s did not end within %v and was ended", name, limit), nil
		case errors.Is(err, executors.ErrNotFound):
			return name + " is not there", nil
		case err != nil:
			return "", err
		case exit.Code != 0:
			return fmt.Sprintf("%s failed with exit code %d", name, exit.Code), nil
		}
		return "", nil
	}
	return name + " was cut in the middle twice", nil
}
