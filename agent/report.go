package agent

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/facts"
	"devserver-agent/protocol"
)

// reporter tells the broker what this host is, on every connect, on change and when the
// broker forgot, and that it is alive.
type reporter struct {
	agent *Agent
	wake  chan struct{}
	ended chan struct{}  // a task did, which may have changed the host
	last  protocol.Facts // as collected last, for the time a task has the host alone
	sent  string         // digest of what the broker has
	epoch atomic.Value   // string: of the broker, as seen last
}

func newReporter(a *Agent) *reporter {
	return &reporter{agent: a, wake: make(chan struct{}, 1), ended: make(chan struct{}, 1)}
}

// lookEvery is how many heartbeats there are to a look at the host for facts that
// changed by themselves. Looking takes milliseconds, in which Go's runtime wakes fifty
// times to see whether anybody is stuck; a heartbeat alone is soon over.
const lookEvery = 5

// due has the facts told now, changed or not.
func (r *reporter) due() { fire(r.wake) }

// sawEpoch publishes the facts again when the epoch changes: the broker lost its streams.
func (r *reporter) sawEpoch(epoch string) {
	if epoch == "" {
		return
	}
	if former := r.epoch.Swap(epoch); former != nil && former != epoch {
		r.due()
	}
}

// taskEnded has the facts looked at when the host is free again.
func (r *reporter) taskEnded() { fire(r.ended) }

func fire(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is going to be done
	}
}

func (r *reporter) run(ctx context.Context) {
	beats := make(chan struct{})
	go facts.Heartbeat{Beat: func() {
		select {
		case beats <- struct{}{}:
		case <-ctx.Done():
		}
	}}.Run(ctx)
	var again <-chan time.Time
	for count := 0; ; {
		select {
		case <-r.wake:
			r.sent = ""
			r.beat()
		case <-beats:
			r.beat()
			if count++; count%lookEvery != 1 {
				continue
			}
		case <-r.ended:
			again = time.After(factsRetry)
			continue
		case <-again:
		case <-ctx.Done():
			return
		}
		again = nil
		if !r.tell(ctx) && r.agent.conn.Load().Connected() {
			// A broker that has only just started may not have its streams yet.
			again = time.After(factsRetry/2 + rand.N(factsRetry))
		}
	}
}

// factsRetry is about the pause before facts that the broker did not take are
// told again.
const factsRetry = 5 * time.Second

// tell sends the facts if the broker does not have them, and reports whether it
// has them now.
func (r *reporter) tell(ctx context.Context) bool {
	f := r.collect(ctx)
	digest, err := facts.Digest(f)
	if err == nil && digest == r.sent {
		return true
	}
	var raw []byte
	if err == nil {
		raw, err = json.Marshal(f)
	}
	if err == nil {
		err = r.agent.conn.Load().Publish(ctx, protocol.FactsSubject(f.ServerID), "", raw)
	}
	if err != nil {
		r.agent.opts.Log.Debug("facts not told yet", zap.Error(err))
		return false
	}
	r.sent = digest
	return true
}

// collect looks at the host, unless a task has it alone.
func (r *reporter) collect(ctx context.Context) protocol.Facts {
	a := r.agent
	state, c := a.queue.State(), a.opts.Config
	base := protocol.Facts{
		ServerID: c.ServerID, ServerName: c.ServerName, CloudServer: protocol.CloudServer(c.CloudServer), SuperNode: c.SuperNode,
		InstallationID: a.store.Installation().ID, BootID: a.boot, AgentVersion: a.opts.Version,
		Executors: a.opts.Registry.Types(), Held: state.Held, Draining: state.Draining,
	}
	if state.Exclusive && r.last.ServerID != "" {
		last := r.last
		last.Held, last.Draining = base.Held, base.Draining
		return last
	}
	f, err := facts.Collect(ctx, c.Host.Root, base)
	if err != nil {
		a.opts.Log.Debug("some facts are missing", zap.Error(err))
	}
	r.last = f
	return f
}

func (r *reporter) beat() {
	a := r.agent
	open := 0
	for _, t := range a.store.AllOpen() {
		if !t.Latest().Status.Terminal() {
			open++
		}
	}
	raw, err := json.Marshal(protocol.Presence{
		ServerID: a.opts.Config.ServerID, InstallationID: a.store.Installation().ID,
		BootID: a.boot, AgentVersion: a.opts.Version, Open: open, At: protocol.Millis(time.Now()),
	})
	if err == nil {
		err = a.conn.Load().Send(protocol.PresenceSubject(a.opts.Config.ServerID), raw)
	}
	if err != nil {
		a.opts.Log.Debug("no heartbeat", zap.Error(err)) // the broker is away
	}
}
