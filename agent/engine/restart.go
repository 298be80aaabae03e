package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

const (
	// maxRestarts bounds the restarts of one task.
	maxRestarts = 3
	// maxAsks bounds how often a host is asked by agents of one boot. One that
	// comes back under the same boot id would be restarted for ever.
	maxAsks = 5
	// goingDown is how long a host may take from the request to its end, not
	// counting the time in which it is known to be on its way; that is bounded too.
	goingDown = 15 * time.Minute
	onItsWay  = 2 * time.Hour
	// lookDown is the time between two looks whether it is.
	lookDown = 15 * time.Second
	// finalRestart is the name of the restart after all items.
	finalRestart = "final"
)

// Restart implements executors.Host.
func (h *host) Restart(ctx context.Context, name string) error {
	if h.fault != nil {
		return h.fault
	}
	if !namePattern.MatchString(name) || h.verifying {
		return fmt.Errorf("restart %.80q: %w", name, executors.ErrDiverged)
	}
	err := h.run.restart(ctx, fmt.Sprintf("%d-%s", h.item, name), h.item)
	var own journalError
	if errors.As(err, &own) {
		return h.record(own.error)
	}
	return err
}

// restart has the host restarted once for a name. It returns nil when that has
// happened, which is in a later boot than the one it was asked for in.
func (r *run) restart(ctx context.Context, name string, item int) error {
	opts := r.engine.opts
	if !r.accept.Task.IsReboot || opts.Power == nil {
		return executors.ErrNoRestart
	}
	asked := r.task.Restart(name)
	if asked != nil && asked.Boot != opts.Boot {
		return nil
	}
	if err := r.engine.stopping(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // cancelled: the host is not restarted for this task any more
	}
	err := r.clear(ctx, item)
	if err != nil {
		return err
	}
	if asked == nil {
		err = r.announce(ctx, name, item)
	} else {
		err = r.again(*asked)
	}
	if err != nil {
		return err
	}
	if err := opts.Power.Ask(ctx, r.task); err != nil {
		return errors.Join(context.Cause(ctx), executors.Fail(protocol.RebootFailed, "The host could not be restarted: %w. %s", err, r.done()))
	}
	failpoint.Hit(failpoint.RestartAsked)
	return r.awaitDown()
}

// clear waits until nothing stands against a restart. Nothing is recorded before:
// an agent that dies here has not asked.
func (r *run) clear(ctx context.Context, item int) error {
	var unsaid error
	err := r.engine.opts.Power.Clear(ctx, func(obstacle string) {
		_, err := r.task.Say(protocol.Status{
			Status: protocol.Processing, Phase: r.task.Latest().Phase, Item: item,
			Message: "The restart of the host waits: " + obstacle + ".",
		})
		unsaid = errors.Join(unsaid, err)
	})
	switch {
	case unsaid != nil:
		return journalError{unsaid}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return executors.Fail(protocol.RebootFailed, "The host was not restarted: %w. %s", err, r.done())
	}
	return nil
}

// announce records that the host is about to be restarted. Whoever holds the
// host is waited for.
func (r *run) announce(ctx context.Context, name string, item int) error {
	if n := len(r.task.Restarts()); n >= maxRestarts {
		return executors.Fail(protocol.RebootLimit, "The host was restarted %d times for this task, as often as it may be, and is to be restarted again. %s", n, r.done())
	}
	if err := r.engine.opts.Queue.Released(ctx); err != nil {
		return err
	}
	if err := r.task.PutRestart(journal.RestartRecord{Name: name, Boot: r.engine.opts.Boot}); err != nil {
		return journalError{err}
	}
	failpoint.Hit(failpoint.RestartRecorded)
	_, err := r.task.Say(protocol.Status{
		Status: protocol.Processing, Phase: protocol.Rebooting, Item: item, Message: "The host is being restarted.",
	})
	if err != nil {
		return journalError{err}
	}
	return nil
}

// again records that a restart which has not come about is asked for once more.
func (r *run) again(asked journal.RestartRecord) error {
	if asked.Asked >= maxAsks {
		return executors.Fail(protocol.RebootFailed, "The host was asked to restart %d times and its boot is still %s: nothing restarts it, or host.boot_id_file does not tell a boot. %s", asked.Asked, asked.Boot, r.done())
	}
	if err := r.task.PutRestart(journal.RestartRecord{Name: asked.Name, Boot: asked.Boot}); err != nil {
		return journalError{err}
	}
	return nil
}

// awaitDown waits for the host to take the agent down.
func (r *run) awaitDown() error {
	power, life := r.engine.opts.Power, r.engine.life
	tick := time.NewTicker(lookDown)
	defer tick.Stop()
	limit := time.NewTimer(goingDown)
	defer limit.Stop()
	asked := time.Now()
	for {
		select {
		case <-life.Done():
			return executors.ErrStopping
		case <-tick.C:
			if time.Since(asked) < onItsWay && power.GoingDown(life) {
				limit.Reset(goingDown)
			}
		case <-limit.C:
			err := power.CallOff(life)
			return errors.Join(executors.Fail(protocol.RebootFailed, "The host was asked to restart %s ago and is still up. %s", time.Since(asked).Round(time.Minute), r.done()), err)
		}
	}
}

// activate restarts the host after all items, if the task asks for it and an
// item has done anything since the last restart.
func (r *run) activate(ctx context.Context) error {
	if !r.accept.Task.IsReboot {
		return nil
	}
	for i, result := range r.results {
		if !result.Unchanged && !r.restartedSince(i) {
			return r.restart(ctx, finalRestart, len(r.results)-1)
		}
	}
	return nil
}

// restartedSince reports whether an item had the host restarted itself and has
// started nothing since.
func (r *run) restartedSince(item int) bool {
	restarted := false
	for _, restart := range r.task.Restarts() {
		ofItem := strings.HasPrefix(restart.Name, fmt.Sprintf("%d-", item))
		restarted = restarted || ofItem && restart.Boot != r.engine.opts.Boot
	}
	for _, start := range r.task.Starts() {
		if start.Item == item && start.Boot == r.engine.opts.Boot {
			return false
		}
	}
	return restarted
}
