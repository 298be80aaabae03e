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
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Options are the parts an Inbox works with. All but Log are needed.
type Options struct {
	ServerID string
	Keyring  protocol.Keyring
	Registry executors.Registry
	Store    *journal.Store
	Fetcher  Fetcher
	// CanRestart says that the host can be restarted for a task.
	CanRestart bool

	Accepted  func(*journal.Task)   // a task is in the journal and wants to run
	Cancelled func(*journal.Task)   // a cancel is in the journal and wants to be obeyed
	Notice    func(protocol.Notice) // something was refused
	SawEpoch  func(epoch string)    // which broker the mailbox came from
	Log       *zap.Logger
}

// Inbox merges mailboxes. All methods may be called concurrently.
type Inbox struct {
	opts    Options
	clock   clock
	connect chan struct{}
	backlog chan struct{} // statements wait for room

	mu      sync.Mutex           // one mailbox is merged at a time
	resends map[string]time.Time // when a resend was last obeyed, by digest
	skewed  time.Time            // when it was last said that the host's clock is behind
}

// New makes an Inbox; Run makes it ask for the mailbox.
func New(opts Options) *Inbox {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	return &Inbox{opts: opts, connect: make(chan struct{}, 1), backlog: make(chan struct{}, 1), resends: map[string]time.Time{}}
}

// Receive merges a mailbox. stored is when the broker stored it; zero if
// unknown. An error is the journal's and means that the agent cannot go on.
func (i *Inbox) Receive(raw []byte, stored time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clock.vouch(stored)
	i.compareClocks(stored)
	m := &merge{Inbox: i, raw: raw, stored: stored, now: i.clock.now(), refused: refusals{inbox: i}}
	defer m.refused.report()
	if len(raw) > protocol.MaxMailboxRead {
		m.refused.add(protocol.NoticeTooLarge, "", "", fmt.Errorf("mailbox of %d bytes, at most %d are read", len(raw), protocol.MaxMailboxRead))
		return nil
	}
	box, err := readHeader(raw)
	if err != nil {
		m.refused.add(protocol.NoticeUnparsable, "", "", fmt.Errorf("mailbox is not JSON of the form expected: %w", err))
		return nil
	}
	if box.ServerID != i.opts.ServerID {
		m.refused.add(protocol.NoticeWrongServer, "", "", fmt.Errorf("mailbox is for server %.80q", box.ServerID))
		return nil
	}
	i.opts.SawEpoch(box.Epoch)
	return m.merge(box)
}

// compareClocks says, at most once an hour, that the host's clock is well behind.
func (i *Inbox) compareClocks(stored time.Time) {
	behind := time.Until(stored)
	if stored.IsZero() || behind <= protocol.ClockSkew || !i.skewed.IsZero() && time.Since(i.skewed) < time.Hour {
		return
	}
	i.skewed = time.Now()
	message := fmt.Sprintf("the host's clock is at least %s behind the broker's; tasks go by the broker's", behind.Round(time.Second))
	i.opts.Log.Warn(message)
	i.opts.Notice(protocol.Notice{Code: protocol.NoticeClock, Message: message, Count: 1})
}

// Now is the time by which tasks expire: the host's, unless the broker or a
// signed statement has shown it to be behind.
func (i *Inbox) Now() time.Time { return i.clock.now() }

// Newest is the newest time that the broker or a signed statement vouches for,
// and what has passed since; zero if none has come.
func (i *Inbox) Newest() time.Time { return i.clock.newest() }

// opened is a statement that was verified, and the envelope it came in.
type opened struct {
	envelope  protocol.Envelope
	statement protocol.Statement
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
		{protocol.ErrKeyEnded, protocol.NoticeKeyEnded},
		{protocol.ErrKeyRole, protocol.NoticeKeyRole},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return protocol.NoticeUnparsable
}
