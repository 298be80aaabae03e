package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/executors/secret"
	"devserver-agent/protocol"
)

// liveLimit is how far an output that still grows is sent. Beyond it the middle
// may be released at any moment, so the end is sent when there is one.
const liveLimit = protocol.OutputHead + protocol.OutputTail

// sendOutputs sends the output of all open tasks, a few chunks of each at a
// time.
func (o *Outbox) sendOutputs(ctx context.Context) error {
	buf := make([]byte, secret.Longest+protocol.MaxChunk+secret.Longest) // a chunk, and what is around it
	refused := map[string]error{}                                        // by task: left alone for this round
	for more := true; more; {
		more = false
		for _, t := range o.opts.Store.AllOpen() {
			if refused[t.ID()] != nil {
				continue
			}
			left, err := o.sendTaskOutput(ctx, t, buf)
			more = more || left
			if err != nil {
				refused[t.ID()] = fmt.Errorf("output of task %s: %w", t.ID(), err)
			}
			if errors.Is(err, broker.ErrAway) {
				return refused[t.ID()] // the others would only wait for the same
			}
		}
	}
	var errs []error
	for _, err := range refused {
		errs = append(errs, err)
	}
	return joined(errs)
}

// sendTaskOutput sends one turn's chunks of each item and reports whether more
// is left.
func (o *Outbox) sendTaskOutput(ctx context.Context, t *journal.Task, buf []byte) (more bool, err error) {
	task := t.Accepted().Task
	if t.Accepted().Local || task == nil {
		return false, nil
	}
	for i := range task.Items {
		left, err := o.sendOutput(ctx, t, i, buf)
		if err != nil {
			return false, err
		}
		more = more || left
	}
	return more, o.finish(t)
}

// sendOutput sends up to one turn's chunks and reports whether more is left.
func (o *Outbox) sendOutput(ctx context.Context, t *journal.Task, item int, buf []byte) (more bool, err error) {
	const turn = 16
	for range turn {
		latest, cursor := t.Latest(), t.Cursor()
		done, from := latest.Status.Terminal(), cursor.Sent(item)
		at, data, err := nextChunk(t, item, from, buf)
		if err != nil {
			return false, err
		}
		if len(data) == 0 && done {
			return false, o.giveUpOutput(t, cursor, item)
		}
		if len(data) == 0 || !done && at >= liveLimit {
			return false, nil
		}
		if err := o.sendChunk(ctx, t, item, at, data); err != nil {
			return false, err
		}
		failpoint.Hit(failpoint.OutputSent)
		if err := sentOutput(t, cursor, item, at+int64(len(data))); err != nil {
			return false, err
		}
	}
	return true, nil
}

// nextChunk reads what comes after from, with secrets blanked: also one that began in
// what was sent before, or ends in what is sent next. The host keeps the output as it is.
func nextChunk(t *journal.Task, item int, from int64, buf []byte) (at int64, data []byte, err error) {
	if t.OutputSize(item) <= from {
		return from, nil, nil
	}
	at, n, err := t.ReadOutput(item, max(0, from-secret.Longest), buf)
	if err == nil && at+int64(n) <= from { // what lies between was released
		at, n, err = t.ReadOutput(item, from, buf)
	}
	if err != nil {
		return at, nil, err
	}
	secret.Blank(buf[:n])
	known := int(max(0, from-at))
	if n <= known {
		return from, nil, nil
	}
	return at + int64(known), buf[known:min(n, known+protocol.MaxChunk)], nil
}

// sentOutput moves the cursor past output that the broker has, unless it was
// moved meanwhile, by a request to send it again.
func sentOutput(t *journal.Task, before journal.Cursor, item int, to int64) error {
	return t.SetCursor(func(c *journal.Cursor) {
		if c.Round == before.Round && c.Sent(item) == before.Sent(item) {
			c.SetSent(item, to)
		}
	})
}

// giveUpOutput passes over what the verdict counted and the disk has lost since:
// nobody can send it any more, and the task has to be closed some day.
func (o *Outbox) giveUpOutput(t *journal.Task, cursor journal.Cursor, item int) error {
	items, size := t.Latest().Items, t.OutputSize(item)
	if item >= len(items) || items[item].Bytes <= size || cursor.Sent(item) < size || cursor.Sent(item) >= items[item].Bytes {
		return nil
	}
	o.opts.Log.Sugar().Warnf("output %d of task %s: the verdict counted %d bytes, the disk has only %d", item, t.ID(), items[item].Bytes, size)
	return sentOutput(t, cursor, item, items[item].Bytes)
}

func (o *Outbox) sendChunk(ctx context.Context, t *journal.Task, item int, at int64, data []byte) error {
	raw, err := json.Marshal(protocol.Chunk{
		TaskID: t.ID(), ServerID: o.opts.ServerID, InstallationID: o.opts.Store.Installation().ID,
		Item: item, Offset: at, Data: data,
	})
	if err != nil {
		return err
	}
	return o.opts.Publisher.Publish(ctx, protocol.OutputSubject(o.opts.ServerID, t.ID()), "", raw)
}
