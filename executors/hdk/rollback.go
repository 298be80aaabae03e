package hdk

import (
	"context"
	"errors"
	"fmt"

	"devserver-agent/executors"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// verifyOrRollBack has the host restarted and looks at the cards itself, because an upgrade
// that may be rolled back must know it before it ends. Where the task allows no
// restart there is nothing to prove yet.
func (r *run) verifyOrRollBack(ctx, workCtx context.Context, restart bool) (executors.Result, error) {
	result, err := r.finishInstall(workCtx, restart)
	if err != nil {
		return executors.Result{}, err
	}
	switch err := r.host.Restart(ctx, "activate"); {
	case errors.Is(err, executors.ErrNoRestart):
		return result, nil
	case ctx.Err() != nil && err != nil && !errors.Is(err, executors.ErrStopping):
		return executors.Result{}, r.stopped(workCtx, allInstalled+" "+r.restarted())
	case err != nil:
		return executors.Result{}, err
	}
	v, err := executors.Memo(workCtx, r.host, "proved", func(ctx context.Context) (verdict, error) { return r.verdict(ctx, r.plan.Target) })
	if err != nil {
		return executors.Result{}, err
	}
	if v.Code != "" {
		return r.rollBack(ctx, workCtx, v.Message, "")
	}
	return result, nil
}

// rollBack returns to the former versions, restarts and says so. What is to be
// done is decided once, in the memo "rollback"; a cancel before that leaves the
// host as it is.
func (r *run) rollBack(ctx, workCtx context.Context, why, remedy string) (executors.Result, error) {
	back, err := executors.Memo(ctx, r.host, "rollback", func(ctx context.Context) (rollbackPlan, error) {
		if ctx.Err() != nil {
			return rollbackPlan{}, context.Cause(ctx)
		}
		return r.planRollback(ctx)
	})
	if ctx.Err() != nil && err != nil && !errors.Is(err, executors.ErrStopping) {
		return executors.Result{}, r.stopped(workCtx, why+" It was not rolled back.")
	}
	if err != nil {
		return executors.Result{}, err
	}
	if len(back.Installs) == 0 {
		return executors.Result{}, executors.Fail(protocol.HDKInstallFailed, "%s version.info names the former versions, so nothing was rolled back. Now: %s. %s", why, r.now(workCtx), remedy)
	}
	for n, i := range back.Installs {
		if n > 0 && back.DriverFirst {
			if err := r.rebootForFormerDriver(ctx, workCtx, why); err != nil {
				return executors.Result{}, rollbackFailed(why, err)
			}
		}
		j, err := r.step(workCtx, "rollback-", i, n, len(back.Installs))
		if err != nil {
			return executors.Result{}, rollbackFailed(why, err)
		}
		if j.Effect == failed {
			return executors.Result{}, executors.Fail(protocol.HDKRollbackFailed, "%s The rollback failed too: the installer of %s: %s. Now: %s. %s", why, i, j.Reason, r.now(workCtx), remedyFor(protocol.HDKRollbackFailed))
		}
	}
	return executors.Result{}, r.rolledBack(ctx, workCtx, why)
}

// rollbackFailed is the error of a rollback that cannot go on, and why it was begun; others
// than failures of the upgrade are as they were.
func rollbackFailed(why string, err error) error {
	var failure *executors.Failure
	if !errors.As(err, &failure) || failure.Code == protocol.TaskCancelled {
		return err
	}
	return executors.Fail(protocol.HDKRollbackFailed, "%s The rollback failed too. %w %s", why, err, remedyFor(protocol.HDKRollbackFailed))
}

// rebootForFormerDriver has the host restarted between driver and firmware.
func (r *run) rebootForFormerDriver(ctx, workCtx context.Context, why string) error {
	err := r.host.Restart(ctx, "rollback-driver")
	if ctx.Err() != nil && err != nil && !errors.Is(err, executors.ErrStopping) {
		return r.stopped(workCtx, fmt.Sprintf("%s Driver %s was installed again, the firmware was not, and the host was not restarted since.", why, r.plan.Former.Driver))
	}
	if err == nil || errors.Is(err, executors.ErrNoRestart) {
		err = r.awaitDriver(workCtx, "rollback-revived", "the former one was installed again, so the firmware cannot be")
	}
	return err
}

// rolledBack restarts the host and looks what came of the rollback.
func (r *run) rolledBack(ctx, workCtx context.Context, why string) error {
	err := r.host.Restart(ctx, "rollback")
	if errors.Is(err, executors.ErrNoRestart) {
		return executors.Fail(protocol.HDKRolledBack, "%s %s was installed again. Now: %s. It becomes active after a restart of the host, which this task does not allow.", why, capital(r.plan.Former.String()), r.now(workCtx))
	}
	if ctx.Err() != nil && err != nil && !errors.Is(err, executors.ErrStopping) {
		return r.stopped(workCtx, fmt.Sprintf("%s %s was installed again and the host not restarted.", why, capital(r.plan.Former.String())))
	}
	if err != nil {
		return err
	}
	v, err := executors.Memo(workCtx, r.host, "returned", func(ctx context.Context) (verdict, error) { return r.verdict(ctx, r.plan.Former) })
	switch {
	case err != nil:
		return err
	case v.Code != "":
		return executors.Fail(protocol.HDKRollbackFailed, "%s After the rollback: %s", why, v.Message)
	}
	return executors.Fail(protocol.HDKRolledBack, "%s The host was brought back: %s. %s", why, v.Message, remedyFor(protocol.HDKRolledBack))
}

// rollbackPlan is how a rollback goes.
type rollbackPlan struct {
	Installs    []install `json:"installs,omitempty"`
	DriverFirst bool      `json:"driver_first,omitempty"`
}

// planRollback finds what is not installed as it was, firmware first while a driver
// answers.
func (r *run) planRollback(ctx context.Context) (rollbackPlan, error) {
	seen, err := r.takeInventory(ctx)
	if err != nil {
		return rollbackPlan{}, err
	}
	w := rollbackPlan{DriverFirst: seen.Down != ""}
	for _, back := range r.plan.RollbackPackages {
		installed := seen.Driver
		if back.Package.Kind == repository.Firmware {
			installed = seen.Firmware
		}
		if installed == back.Package.Version {
			continue
		}
		back.Former = &installed
		if installed == "" {
			back.Options = r.options("--full")
		}
		if w.DriverFirst {
			w.Installs = append([]install{back}, w.Installs...)
		} else {
			w.Installs = append(w.Installs, back)
		}
	}
	r.host.Printf("\n[rolling back to %s; now: %s]\n", r.plan.Former, seen.Message)
	return w, nil
}
