package agent

import (
	"context"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/power"
)

// tellFirst bounds how long a restart waits for the broker to hear of it. It is
// in the journal anyway; an operator sees it sooner this way.
const tellFirst = 5 * time.Second

// restarter restarts the host for a task, or is nil where it cannot.
func (a *Agent) restarter(p power.Restarter) func(context.Context, *journal.Task) error {
	if !p.Available() {
		return nil
	}
	return func(ctx context.Context, t *journal.Task) error {
		a.awaitTold(ctx, t)
		a.opts.Log.Warn("restarting the host", zap.String("task", t.ID()), zap.Strings("command", p.Command))
		return p.Ask(ctx)
	}
}

func (a *Agent) awaitTold(ctx context.Context, t *journal.Task) {
	if t.Accepted().Local {
		return
	}
	limit := time.NewTimer(tellFirst)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for a.conn.Load().Connected() && t.Cursor().Seq < t.Latest().Seq {
		select {
		case <-tick.C:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
