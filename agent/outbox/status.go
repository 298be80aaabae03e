package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/executors/secret"
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
		if t.Accepted().Local {
			continue
		}
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
	return joined(refused)
}

// joined is what a round of sending came to. ErrAway is not hidden among
// refusals, nor are there more lines than anybody reads.
func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	const shown = 4
	if n := len(errs); n > shown {
		more := fmt.Errorf("and %d tasks more", n-shown)
		errs = append(errs[:shown-1:shown-1], more, errs[n-1])
	}
	return errors.Join(errs...)
}

func rank(t *journal.Task) int {
	if t.Latest().Status.Terminal() {
		return 0
	}
	return 1
}

// sendTask sends a task's statuses in order. The cursor may go back meanwhile,
// when all is to be said again, so each time it says what is next.
func (o *Outbox) sendTask(ctx context.Context, t *journal.Task) error {
	for {
		cursor, statuses := t.Cursor(), t.Statuses()
		next := slices.IndexFunc(statuses, func(r journal.StatusRecord) bool { return r.Status.Seq > cursor.Seq })
		if next < 0 {
			return nil
		}
		if err := o.sendStatus(ctx, t, statuses[next], cursor.Round); err != nil {
			return err
		}
		o.latest.said(t.ID())
		failpoint.Hit(failpoint.StatusSent)
		if err := acknowledged(t, statuses[next].Status, cursor.Round); err != nil {
			return err
		}
	}
}

// acknowledged moves the cursor past a status that the broker has, unless all
// is to be said once more since it was sent.
func acknowledged(t *journal.Task, status protocol.Status, round int) error {
	return t.SetCursor(func(c *journal.Cursor) {
		if c.Round != round {
			return
		}
		c.Seq = max(c.Seq, status.Seq)
		if status.Status.Terminal() {
			c.VerdictAt = protocol.Millis(time.Now())
		}
	})
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
	data, err := encode(status)
	if err != nil {
		return err
	}
	// An answer to a broker that forgot must not be dropped by what it still
	// remembers of the ids.
	id := fmt.Sprintf("%s.%d", rec.MsgID, round)
	return o.opts.Publisher.Publish(ctx, protocol.StatusSubject(o.opts.ServerID), id, data)
}

// encode is a status as it leaves the host: a message may quote what a program wrote,
// and its secrets stay here.
func encode(status protocol.Status) ([]byte, error) {
	status.Message = protocol.Clip(secret.Mask(status.Message))
	return json.Marshal(status)
}
