package inbox

import (
	"errors"
	"fmt"
	"time"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// relisted is how long after its acknowledgement a verdict that is still listed
// is said again: the control plane may not have it.
const relisted = time.Minute

// known is what the journal has of a task.
type known struct {
	accept journal.AcceptRecord
	cursor journal.Cursor
	// told says that the broker has acknowledged the verdict.
	told bool
}

// lookup finds what is known of a task, open or finished; nil if nothing is.
func (i *Inbox) lookup(id string) (*known, error) {
	if t := i.opts.Store.Open(id); t != nil {
		latest, cursor := t.Latest(), t.Cursor()
		return &known{t.Accepted(), cursor, latest.Status.Terminal() && cursor.Seq >= latest.Seq}, nil
	}
	view, err := journal.ReadTask(i.opts.Store.Dir(), id)
	switch {
	case errors.Is(err, journal.ErrUnknown):
		return nil, nil
	case err != nil && !errors.Is(err, journal.ErrDamaged):
		return nil, err
	}
	return &known{view.Accept, view.Cursor, true}, nil
}

// repeat says a verdict again that is still listed well after the broker had
// acknowledged it. Until then the outbox does all that is needed. Output is not
// sent again: who misses some asks for it.
func (i *Inbox) repeat(id string, k known) error {
	since := time.Since(time.UnixMilli(k.cursor.VerdictAt))
	if !k.told || k.cursor.VerdictAt == 0 || since >= 0 && since < relisted {
		return nil
	}
	return i.opts.Store.Repeat(id)
}

// unfit says why a task that was validly signed cannot run.
func (i *Inbox) unfit(task *protocol.Task) (protocol.Code, string) {
	const nothing = " Nothing was started on this host."
	if err := task.Check(); err != nil {
		return protocol.SpecInvalid, fmt.Sprintf("The task does not fit: %v.", err) + nothing
	}
	if now := i.clock.now(); now.UnixMilli() >= task.ExpiresAt {
		return protocol.TaskExpired, i.expired(task, now) + nothing
	}
	for n, item := range task.Items {
		_, t, ok := i.opts.Registry.Lookup(item.Type)
		if !ok {
			return protocol.TypeUnknown, fmt.Sprintf("This host's agent has no executor for %s (item %d).", item.Type, n) + nothing
		}
		if err := t.CheckSpec(item.Spec); err != nil {
			return protocol.SpecInvalid, fmt.Sprintf("Item %d (%s): %v.", n, item.Type, err) + nothing
		}
	}
	if task.IsReboot && !i.opts.CanRestart {
		return protocol.RebootUnavailable, "The task asks for a restart of the host, which this agent cannot do: host.reboot_command is not configured." + nothing
	}
	return "", ""
}

// expired also says when it may be the host's clock that is wrong: nobody has
// vouched for a time near it.
func (i *Inbox) expired(task *protocol.Task, now time.Time) string {
	text := fmt.Sprintf("The task came at %s and had expired at %s.", stamp(now), stamp(time.UnixMilli(task.ExpiresAt)))
	if newest := i.clock.newest(); now.Sub(newest) > time.Hour {
		text += fmt.Sprintf(" That is by this host's clock; the newest time it was told is %s. If the clock is wrong, correct it and create the job again.", stamp(newest))
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// resend merges a request for output, which stays listed until it is answered:
// it is obeyed once a minute at most.
func (m *merge) resend(o opened) {
	r, now := o.statement.Resend, time.Now()
	if now.Sub(m.resends[o.statement.Digest]) < relisted {
		return
	}
	for digest, at := range m.resends {
		if now.Sub(at) >= relisted {
			delete(m.resends, digest)
		}
	}
	if len(m.resends) >= protocol.MaxOpenTasks {
		return // the mailbox keeps it
	}
	m.resends[o.statement.Digest] = now
	if err := m.opts.Store.Rewind(r.TaskID, r.Item, r.From); err != nil {
		m.refused.add(protocol.NoticeUnparsable, r.TaskID, o.statement.Digest, fmt.Errorf("resend: %w", err))
	}
}
