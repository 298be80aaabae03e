// Package inbox turns mailboxes into accepted tasks. A mailbox is a set of
// statements: it is merged into the journal, its order means nothing, and what
// is absent means nothing, so a late, repeated or restored mailbox brings
// nothing back.
//
// Only a validly signed statement for this server causes a record. Whatever
// else comes is counted and reported as a notice and leaves the rest alone.
//
// The inbox writes nothing itself. When it dies before the journal has a
// statement, the mailbox still has it.
package inbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Options are the parts an Inbox works with. All are needed.
type Options struct {
	ServerID string
	Keyring  protocol.Keyring
	Registry executors.Registry
	Store    *journal.Store
	Fetcher  Fetcher

	Accepted  func(*journal.Task)   // a task is in the journal and wants to run
	Cancelled func(*journal.Task)   // a cancel is in the journal and wants to be obeyed
	Notice    func(protocol.Notice) // something was refused
	SawEpoch  func(epoch string)    // which broker the mailbox came from
	Log       *zap.Logger
}

// relisted is how long after its acknowledgement a verdict that is still listed
// is said again: the control plane may not have it.
const relisted = time.Minute

// Inbox merges mailboxes. All methods may be called concurrently.
type Inbox struct {
	opts    Options
	connect chan struct{}

	mu      sync.Mutex
	newest  time.Time            // that the broker or a signed statement vouches for
	resends map[string]time.Time // when a resend was last obeyed, by digest
}

// New makes an Inbox; Run makes it ask for the mailbox.
func New(opts Options) *Inbox {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	return &Inbox{opts: opts, connect: make(chan struct{}, 1), resends: map[string]time.Time{}}
}

// mailbox is protocol.Mailbox with its statements still encoded, so that one
// that cannot be read does not spoil the others.
type mailbox struct {
	ServerID   string            `json:"server_id"`
	Epoch      string            `json:"epoch"`
	Statements []json.RawMessage `json:"statements"`
	AcceptedBy map[string]string `json:"accepted_by"`
}

// Receive merges a mailbox. stored is when the broker stored it; zero if
// unknown. An error is the journal's and means that the agent cannot go on.
func (i *Inbox) Receive(raw []byte, stored time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.vouch(stored)
	if len(raw) > protocol.MaxMailboxRead {
		i.refuse(protocol.NoticeTooLarge, "", "", fmt.Errorf("mailbox of %d bytes, at most %d are read", len(raw), protocol.MaxMailboxRead))
		return nil
	}
	var box mailbox
	if err := json.Unmarshal(raw, &box); err != nil {
		i.refuse(protocol.NoticeUnparsable, "", "", fmt.Errorf("mailbox is not JSON of the form expected: %w", err))
		return nil
	}
	if box.ServerID != i.opts.ServerID {
		i.refuse(protocol.NoticeWrongServer, "", "", fmt.Errorf("mailbox is for server %.80q", box.ServerID))
		return nil
	}
	i.opts.SawEpoch(box.Epoch)
	return i.merge(box)
}

// merge takes cancels first: one that comes together with its task must keep it
// from starting.
func (i *Inbox) merge(box mailbox) error {
	var tasks []opened
	for _, raw := range box.Statements {
		o, ok := i.open(raw)
		if !ok {
			continue
		}
		var err error
		switch {
		case o.statement.Task != nil:
			tasks = append(tasks, o)
			i.vouch(time.UnixMilli(o.statement.Task.IssuedAt))
		case o.statement.Cancel != nil:
			err = i.cancel(o)
		case o.statement.Resend != nil:
			err = i.resend(o)
		}
		if err != nil {
			return err
		}
	}
	for _, o := range tasks {
		if err := i.task(o, box.AcceptedBy[o.statement.Task.TaskID]); err != nil {
			return err
		}
	}
	return nil
}

// opened is a statement that was verified, and the envelope it came in.
type opened struct {
	envelope  protocol.Envelope
	statement protocol.Statement
}

// open verifies one statement and refuses what is not for this agent.
func (i *Inbox) open(raw json.RawMessage) (opened, bool) {
	var o opened
	if err := json.Unmarshal(raw, &o.envelope); err != nil {
		i.refuse(protocol.NoticeUnparsable, "", "", fmt.Errorf("statement is not an envelope: %w", err))
		return o, false
	}
	var err error
	if o.statement, err = i.opts.Keyring.Open(o.envelope); err != nil {
		i.refuse(noticeOf(err), "", protocol.Digest(o.envelope), err)
		return o, false
	}
	if task, server := o.statement.IDs(); server != i.opts.ServerID {
		i.refuse(protocol.NoticeWrongServer, task, o.statement.Digest, fmt.Errorf("statement is for server %s", server))
		return o, false
	}
	return o, true
}

func noticeOf(err error) protocol.Code {
	for _, known := range []struct {
		err  error
		code protocol.Code
	}{
		{protocol.ErrUnsigned, protocol.NoticeUnsigned},
		{protocol.ErrUnknownKey, protocol.NoticeUnknownKey},
		{protocol.ErrSignature, protocol.NoticeSignature},
		{protocol.ErrPayloadType, protocol.NoticePayloadType},
		{protocol.ErrTooLarge, protocol.NoticeTooLarge},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return protocol.NoticeUnparsable
}

func (i *Inbox) refuse(code protocol.Code, task, digest string, err error) {
	i.opts.Log.Warn("refused", zap.String("code", string(code)), zap.String("task", task), zap.String("digest", digest), zap.Error(err))
	i.opts.Notice(protocol.Notice{Code: code, TaskID: task, Digest: digest, Message: err.Error()})
}

func (i *Inbox) vouch(t time.Time) {
	if t.After(i.newest) {
		i.newest = t
	}
}

// Newest is the newest time that the broker or a signed statement vouches for;
// zero if none has come.
func (i *Inbox) Newest() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.newest
}
