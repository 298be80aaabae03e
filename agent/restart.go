package agent

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/engine"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/power"
)

// tellFirst bounds how long a restart waits for the broker to hear of it. It is
// in the journal anyway; an operator sees it sooner this way.
const tellFirst = 5 * time.Second

// restarts is the engine's power over the host.
type restarts struct {
	power.Restarter
	agent *Agent
}

// power is how the host is restarted, or nil where it cannot be.
func (a *Agent) power(p power.Restarter) engine.Power {
	if !p.Available() {
		return nil
	}
	return restarts{p, a}
}

// Ask implements engine.Power.
func (r restarts) Ask(ctx context.Context, t *journal.Task) error {
	r.agent.awaitTold(ctx, t)
	r.agent.opts.Log.Warn("restarting the host", zap.String("task", t.ID()), zap.Strings("command", r.Command))
	return r.Restarter.Ask(ctx, fmt.Sprintf("The DevServer agent restarts this host for task %s.", t.ID()))
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
