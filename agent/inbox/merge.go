package inbox

import (
	"errors"
	"fmt"
	"time"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// task merges a task: accepts it, refuses it with a verdict, or, if it is
// known, sees to it that the control plane hears of it.
func (i *Inbox) task(o opened, acceptedBy string) error {
	task := o.statement.Task
	known, err := i.lookup(task.TaskID)
	if err != nil {
		return err
	}
	if known != nil {
		tombstone := known.Accept.Task == nil
		if !tombstone && known.Accept.Digest != "" && known.Accept.Digest != o.statement.Digest {
			i.refuse(protocol.NoticeContentChanged, task.TaskID, o.statement.Digest,
				fmt.Errorf("task %s is known with other content (%s)", task.TaskID, known.Accept.Digest))
			return nil
		}
		return i.repeat(*known)
	}
	if open := i.opts.Store.AllOpen(); len(open) >= protocol.MaxOpenTasks {
		i.refuse(protocol.NoticeTooManyTasks, task.TaskID, "",
			fmt.Errorf("%d tasks are open, at most %d are allowed; task %s waits in the mailbox", len(open), protocol.MaxOpenTasks, task.TaskID))
		return nil
	}
	failpoint.Hit(failpoint.BeforeAccept)
	accept := journal.AcceptRecord{Digest: o.statement.Digest, KeyID: o.statement.KeyID, ExpiresAt: task.ExpiresAt, Task: task}
	first := protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted, Message: "Accepted."}
	switch code, why := i.unfit(task); {
	case acceptedBy != "" && acceptedBy != i.opts.Store.Installation().ID:
		accept.Replaced = acceptedBy
	case code != "":
		first = protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Percent: 100, Code: code, Message: why}
	}
	return i.admit(journal.Admission{ID: task.TaskID, Accept: accept, Envelope: &o.envelope, First: first})
}

// unfit says why a task that was validly signed cannot run.
func (i *Inbox) unfit(task *protocol.Task) (protocol.Code, string) {
	const nothing = " Nothing was started on this host."
	if err := task.Check(); err != nil {
		return protocol.SpecInvalid, fmt.Sprintf("The task does not fit: %v.", err) + nothing
	}
	now := time.Now()
	if i.newest.After(now) {
		now = i.newest // the host's clock is behind
	}
	if now.UnixMilli() >= task.ExpiresAt {
		return protocol.TaskExpired, fmt.Sprintf("The task came at %s and had expired at %s.",
			now.UTC().Format(time.RFC3339), time.UnixMilli(task.ExpiresAt).UTC().Format(time.RFC3339)) + nothing
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
	if task.IsReboot {
		return protocol.RebootUnavailable, "The task asks for a restart of the host, which this version of the agent cannot do." + nothing
	}
	return "", ""
}

// admit puts a task into the journal. On a full disk it stays in the mailbox.
func (i *Inbox) admit(a journal.Admission) error {
	t, err := i.opts.Store.Admit(a)
	if errors.Is(err, journal.ErrDiskFull) {
		i.refuse(protocol.NoticeDiskFull, a.ID, "", fmt.Errorf("%w; task %s waits in the mailbox", journal.ErrDiskFull, a.ID))
		return nil
	}
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.Accepted)
	if !a.First.Status.Terminal() {
		i.opts.Accepted(t)
	}
	return nil
}

// cancel merges a cancel. Of a task that is not known it is kept as a
// tombstone.
func (i *Inbox) cancel(o opened) error {
	c := o.statement.Cancel
	known, err := i.lookup(c.TaskID)
	if err != nil {
		return err
	}
	if known == nil {
		return i.admit(journal.Admission{
			ID: c.TaskID, Envelope: &o.envelope,
			Accept: journal.AcceptRecord{Digest: o.statement.Digest, KeyID: o.statement.KeyID, ExpiresAt: c.ExpiresAt},
			First: protocol.Status{Status: protocol.Deleted, Phase: protocol.Done, Percent: 100, Code: protocol.TaskCancelled,
				Message: fmt.Sprintf("Cancelled (%s) before this host had accepted the task; nothing was started.", c.Reason)},
		})
	}
	t := i.opts.Store.Open(c.TaskID)
	if t == nil || t.Latest().Status.Terminal() {
		return i.repeat(*known)
	}
	fresh, err := t.Cancel(c.Reason)
	if err != nil || !fresh {
		return err
	}
	failpoint.Hit(failpoint.CancelPending)
	i.opts.Cancelled(t)
	return nil
}

// resend merges a request for output, which stays listed until it is answered:
// it is obeyed once a minute at most.
func (i *Inbox) resend(o opened) error {
	r, now := o.statement.Resend, time.Now()
	if now.Sub(i.resends[o.statement.Digest]) < relisted {
		return nil
	}
	for digest, at := range i.resends {
		if now.Sub(at) >= relisted {
			delete(i.resends, digest)
		}
	}
	if len(i.resends) >= protocol.MaxOpenTasks {
		return nil // the mailbox keeps it
	}
	i.resends[o.statement.Digest] = now
	if err := i.opts.Store.Rewind(r.TaskID, r.Item, r.From); err != nil {
		i.refuse(protocol.NoticeUnparsable, r.TaskID, o.statement.Digest, fmt.Errorf("resend: %w", err))
	}
	return nil
}

// lookup finds what is known of a task, open or finished.
func (i *Inbox) lookup(id string) (*journal.View, error) {
	view, err := journal.ReadTask(i.opts.Store.Dir(), id)
	switch {
	case errors.Is(err, journal.ErrUnknown):
		return nil, nil
	case err != nil && !errors.Is(err, journal.ErrDamaged):
		return nil, err
	}
	return &view, nil
}

// repeat says a verdict again that is still listed well after the broker had
// acknowledged it. Until then the outbox does all that is needed.
func (i *Inbox) repeat(known journal.View) error {
	acked := known.Cursor.VerdictAt
	if known.Open || acked == 0 || time.Since(time.UnixMilli(acked)) < relisted {
		return nil
	}
	return i.opts.Store.Reopen(known.ID)
}
