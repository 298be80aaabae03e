package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/journal"
)

// SawEpoch tells which broker answered. If it is not the one that has what the
// tasks said, all of it is said again. It does not block.
func (o *Outbox) SawEpoch(epoch string) {
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
	if known != "" {
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
	open := o.opts.Store.AllOpen()
	said := map[string]bool{}
	for _, t := range open {
		said[t.ID()] = true
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

func (o *Outbox) repeatOne(id string) error {
	if err := o.opts.Store.Reopen(id); err != nil && !errors.Is(err, journal.ErrUnknown) {
		return err
	}
	return nil
}
