package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/journal"
)

// SawEpoch tells which broker answered. If it is not the one that has what the
// tasks said, all of it is said again. "" says nothing. It does not block.
func (o *Outbox) SawEpoch(epoch string) {
	if epoch == "" {
		return
	}
	select {
	case <-o.epochs: // only the newest matters
	default:
	}
	select {
	case o.epochs <- epoch:
	default: // somebody was faster
	}
}

func (o *Outbox) watchEpoch(ctx context.Context) {
	for {
		select {
		case epoch := <-o.epochs:
			if err := o.repeatFor(ctx, epoch); err != nil && ctx.Err() == nil {
				o.opts.Log.Error("say everything again to a new broker", zap.Error(err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// repeatFor says everything again if the epoch is another one. The new epoch is
// remembered at the end, so that a death in between begins again.
func (o *Outbox) repeatFor(ctx context.Context, epoch string) error {
	known, err := o.opts.Store.Epoch()
	if err != nil || known == epoch {
		return err
	}
	ids, err := o.opts.Store.IDs()
	if err != nil {
		return err
	}
	if len(ids) == 0 && epoch == broker.NoMailbox {
		return nil // a host that has nothing to do
	}
	if known != "" && len(ids) > 0 {
		o.opts.Log.Info("the broker is another one; saying everything again", zap.Int("tasks", len(ids)), zap.String("epoch", epoch))
		if err := o.repeat(ctx, ids); err != nil {
			return err
		}
	}
	return o.opts.Store.SetEpoch(epoch)
}

// repeat brings the tasks back one by one, open ones first: they are what
// somebody waits for.
func (o *Outbox) repeat(ctx context.Context, ids []string) error {
	said := map[string]bool{}
	for _, t := range o.opts.Store.AllOpen() {
		said[t.ID()] = true
		if t.Accepted().Local {
			continue
		}
		if err := o.repeatOne(t.ID()); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if said[id] {
			continue
		}
		if pause := o.opts.Spread / time.Duration(len(ids)); pause > 0 {
			select {
			case <-time.After(rand.N(2 * pause)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := o.repeatOne(id); err != nil {
			return err
		}
	}
	return nil
}

// repeatOne brings one task back. One that cannot be read keeps no other from
// being said again; a full disk does, until there is room.
func (o *Outbox) repeatOne(id string) error {
	err := o.opts.Store.Reopen(id)
	if errors.Is(err, journal.ErrDiskFull) {
		return err
	}
	if err != nil && !errors.Is(err, journal.ErrUnknown) {
		o.opts.Log.Error("a task cannot be said again", zap.String("task", id), zap.Error(err))
	}
	return nil
}
