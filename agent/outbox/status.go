package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// sendStatuses sends all that is not acknowledged.
func (o *Outbox) sendStatuses(ctx context.Context) error {
	tasks := o.opts.Store.AllOpen()
	slices.SortStableFunc(tasks, func(a, b *journal.Task) int {
		return rank(a) - rank(b)
	})
	var refused []error
	for _, t := range tasks {
		err := o.sendTask(ctx, t)
		if err == nil {
			err = o.finish(t)
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("task %s: %w", t.ID(), err))
		}
		if errors.Is(err, broker.ErrAway) {
			break // the others would only wait for the same
		}
	}
	return errors.Join(refused...)
}

func rank(t *journal.Task) int {
	if t.Latest().Status.Terminal() {
		return 0
	}
	return 1
}

func (o *Outbox) sendTask(ctx context.Context, t *journal.Task) error {
	if t.Accepted().Local || o.opts.Publisher == nil {
		return nil
	}
	for _, rec := range t.Statuses() {
		cursor := t.Cursor()
		if rec.Status.Seq <= cursor.Seq {
			continue
		}
		if err := o.sendStatus(ctx, t, rec, cursor.Round); err != nil {
			return err
		}
		o.latest.said(t.ID())
		failpoint.Hit(failpoint.StatusSent)
		if err := t.Acknowledged(rec.Status); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) sendStatus(ctx context.Context, t *journal.Task, rec journal.StatusRecord, round int) error {
	status := rec.Status
	if status.Seq == 1 {
		envelope, err := t.Envelope()
		if err != nil {
			return err
		}
		status.Envelope = envelope
	}
	data, err := json.Marshal(status)
	if err != nil {
		return err
	}
	// An answer to a broker that forgot must not be dropped by what it still
	// remembers of the ids.
	id := fmt.Sprintf("%s.%d", rec.MsgID, round)
	return o.publish(ctx, protocol.StatusSubject(o.opts.ServerID), id, data)
}
