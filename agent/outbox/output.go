package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// liveLimit is how far an output that still grows is sent. Beyond it the middle
// may be released at any moment, so the end is sent when there is one.
const liveLimit = protocol.OutputHead + protocol.OutputTail

// sendOutputs sends the output of all open tasks, a few chunks of each at a
// time.
func (o *Outbox) sendOutputs(ctx context.Context) error {
	if o.opts.Publisher == nil {
		return nil
	}
	for more := true; more; {
		more = false
		for _, t := range o.opts.Store.AllOpen() {
			task := t.Accepted().Task
			if t.Accepted().Local || task == nil {
				continue
			}
			for i := range task.Items {
				left, err := o.sendOutput(ctx, t, i)
				if err != nil {
					return fmt.Errorf("output of task %s: %w", t.ID(), err)
				}
				more = more || left
			}
			if err := o.finish(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendOutput sends up to one turn's chunks and reports whether more is left.
func (o *Outbox) sendOutput(ctx context.Context, t *journal.Task, item int) (more bool, err error) {
	const turn = 16
	buf := make([]byte, protocol.MaxChunk)
	offset := t.Cursor().Sent(item)
	done := t.Latest().Status.Terminal()
	for range turn {
		at, n, err := t.ReadOutput(item, offset, buf)
		if err != nil {
			return false, err
		}
		if n == 0 || !done && at >= liveLimit {
			return false, nil
		}
		if err := o.sendChunk(ctx, t, item, at, buf[:n]); err != nil {
			return false, err
		}
		failpoint.Hit(failpoint.OutputSent)
		offset = at + int64(n)
		if err := t.SetCursor(func(c *journal.Cursor) { c.SetSent(item, offset) }); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (o *Outbox) sendChunk(ctx context.Context, t *journal.Task, item int, at int64, data []byte) error {
	raw, err := json.Marshal(protocol.Chunk{
		TaskID: t.ID(), ServerID: o.opts.ServerID, InstallationID: o.opts.Store.Installation().ID,
		Item: item, Offset: at, Data: data,
	})
	if err != nil {
		return err
	}
	return o.publish(ctx, protocol.OutputSubject(o.opts.ServerID, t.ID()), "", raw)
}
