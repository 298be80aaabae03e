package inbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// merge is one mailbox on its way into the journal.
type merge struct {
	*Inbox
	raw    []byte
	stored time.Time // when the broker stored it; zero if unknown
	// now is the time by which keys count, one for the whole mailbox: what was found good
	// once is opened again.
	now     time.Time
	refused refusals
	tasks   []listed
	room    int  // how many tasks may still be accepted
	full    bool // the disk is
}

// listed is a verified task of the mailbox. No more of it is kept than is needed
// to find out whether it is known, for a mailbox may list many.
type listed struct {
	place
	id, digest string
	ahead      bool // it was issued later than it is
}

// merge takes cancels first: one that comes together with its task must keep it
// from starting.
func (m *merge) merge(box header) error {
	var failed error
	err := walk(m.raw, func(p place) error {
		failed = m.statement(p)
		return failed
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		// What stands before the odd part is as good as any statement.
		m.refused.add(protocol.NoticeUnparsable, "", "", fmt.Errorf("mailbox cannot be read to its end: %w", err))
	}
	m.room = protocol.MaxOpenTasks - m.load()
	for _, l := range m.tasks {
		if err := m.task(l, box.AcceptedBy[l.id]); err != nil {
			return err
		}
	}
	return nil
}

// statement merges a cancel or a resend and notes a task.
func (m *merge) statement(p place) error {
	o, err := m.open(p)
	if err != nil {
		m.refused.add(noticeOf(err), "", protocol.Digest(o.envelope), err)
		return nil
	}
	task, server := o.statement.IDs()
	switch {
	case server != m.opts.ServerID:
		m.refused.add(protocol.NoticeWrongServer, task, o.statement.Digest, fmt.Errorf("statement is for server %s", server))
	case o.statement.Task != nil:
		issued := time.UnixMilli(o.statement.Task.IssuedAt)
		ahead := !m.stored.IsZero() && issued.After(m.clock.now().Add(protocol.ClockSkew))
		if !ahead {
			m.clock.vouch(issued)
		}
		m.tasks = append(m.tasks, listed{place: p, id: task, digest: o.statement.Digest, ahead: ahead})
	case o.statement.Cancel != nil:
		return m.cancel(o)
	case o.statement.Resend != nil:
		m.resend(o)
	}
	return nil
}

// open reads and verifies one statement.
func (m *merge) open(p place) (o opened, err error) {
	if err := json.Unmarshal(m.raw[p.begin:p.end], &o.envelope); err != nil {
		return o, fmt.Errorf("%w: it is not an envelope: %w", protocol.ErrUnparsable, err)
	}
	o.statement, err = m.opts.Keyring.Open(o.envelope, m.now)
	return o, err
}

// load is how many tasks count as open: those without a verdict, and those whose
// verdict the broker has never had. What is only said again does not count.
func (i *Inbox) load() int {
	n := 0
	for _, t := range i.opts.Store.AllOpen() {
		latest, cursor := t.Latest(), t.Cursor()
		if !latest.Status.Terminal() || !t.Accepted().Local && cursor.Round == 0 && cursor.Seq < latest.Seq {
			n++
		}
	}
	return n
}

// task merges a task: accepts it, refuses it with a verdict, or, if it is
// known, sees to it that the control plane hears of it.
func (m *merge) task(l listed, acceptedBy string) error {
	known, err := m.lookup(l.id)
	if err != nil {
		return err
	}
	if known != nil {
		if known.accept.Task != nil && known.accept.Digest != "" && known.accept.Digest != l.digest {
			m.refused.add(protocol.NoticeContentChanged, l.id, l.digest,
				fmt.Errorf("task %s is known with other content (%s)", l.id, known.accept.Digest))
			return nil
		}
		return m.repeat(l.id, *known)
	}
	if l.ahead {
		m.refused.wait(protocol.NoticeNotYetValid, l.id)
		return nil
	}
	if m.room <= 0 {
		m.refused.wait(protocol.NoticeTooManyTasks, l.id)
		return nil
	}
	o, err := m.open(l.place)
	if err != nil {
		return fmt.Errorf("task %s: it was verified before: %w", l.id, err)
	}
	task := o.statement.Task
	accept := journal.AcceptRecord{Digest: l.digest, KeyID: o.statement.KeyID, ExpiresAt: task.ExpiresAt, Task: task}
	first := protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted, Message: "Accepted."}
	switch code, why := m.unfit(task); {
	case acceptedBy != "":
		// Somebody had it, and what is known of it here is nothing.
		accept.Replaced = acceptedBy
	case code != "":
		first = protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Percent: 100, Code: code, Message: why}
	}
	failpoint.Hit(failpoint.BeforeAccept)
	return m.admit(journal.Admission{ID: l.id, Accept: accept, Envelope: &o.envelope, First: first})
}

// admit puts a task into the journal. On a full disk it stays in the mailbox.
func (m *merge) admit(a journal.Admission) error {
	var t *journal.Task
	err := journal.ErrDiskFull
	if !m.full {
		t, err = m.opts.Store.Admit(a)
	}
	switch {
	case errors.Is(err, journal.ErrDiskFull):
		m.full = true
		m.refused.wait(protocol.NoticeDiskFull, a.ID)
		return nil
	case errors.Is(err, journal.ErrKnown):
		return nil
	case err != nil:
		return err
	}
	m.room--
	if !a.First.Status.Terminal() {
		m.opts.Accepted(t)
	}
	return nil
}

// cancel merges a cancel. Of a task that is not known it is kept as a
// tombstone.
func (m *merge) cancel(o opened) error {
	c := o.statement.Cancel
	known, err := m.lookup(c.TaskID)
	if err != nil {
		return err
	}
	if known == nil {
		return m.admit(journal.Admission{
			ID: c.TaskID, Envelope: &o.envelope,
			Accept: journal.AcceptRecord{Digest: o.statement.Digest, KeyID: o.statement.KeyID, ExpiresAt: c.ExpiresAt},
			First: protocol.Status{Status: protocol.Deleted, Phase: protocol.Done, Percent: 100, Code: protocol.TaskCancelled,
				Message: fmt.Sprintf("Cancelled (%s) before this host had accepted the task; nothing was started.", cmp.Or(c.Reason, "no reason was given"))},
		})
	}
	t := m.opts.Store.Open(c.TaskID)
	if t == nil || t.Latest().Status.Terminal() {
		return m.repeat(c.TaskID, *known)
	}
	fresh, err := t.Cancel(c.Reason)
	if err != nil || !fresh {
		return err
	}
	failpoint.Hit(failpoint.CancelPending)
	m.opts.Cancelled(t)
	return nil
}
