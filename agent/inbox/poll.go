package inbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/broker"
	"devserver-agent/protocol"
)

// Fetcher is the broker as the inbox needs it.
type Fetcher interface {
	// Fetch returns the stored mailbox; broker.ErrNoMailbox, broker.ErrAway. It
	// does not wait for ever.
	Fetch(ctx context.Context) ([]byte, time.Time, error)
}

const (
	firstRetry = 250 * time.Millisecond
	maxRetry   = 30 * time.Second
	sweep      = 5 * time.Minute // plus or minus half of it
	// backlogPause is how often it is seen whether there is room for the tasks
	// that wait in the mailbox.
	backlogPause = 2 * time.Second
)

// Connected has the mailbox read now: after every connect.
func (i *Inbox) Connected() { fire(i.connect) }

// wait has the mailbox read again when there is room for more tasks.
func (i *Inbox) wait() { fire(i.backlog) }

func fire(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is going to be read
	}
}

// Run reads the mailbox after every connect, once more half a minute to a
// minute later, since a replica may have answered with an older one, when there
// is room for what was left in it, and every now and then. It returns when ctx
// ends or the journal cannot be written.
func (i *Inbox) Run(ctx context.Context) error {
	next := time.NewTimer(sweepPause())
	defer next.Stop()
	room := time.NewTimer(0)
	defer room.Stop()
	room.Stop()
	pause := backlogPause
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-i.connect:
			next.Reset(30*time.Second + rand.N(30*time.Second))
		case <-next.C:
			next.Reset(sweepPause())
		case <-i.backlog:
			room.Reset(pause)
			continue
		case <-room.C:
			if !i.room() {
				room.Reset(pause)
				continue
			}
		}
		began := time.Now()
		if err := i.read(ctx); err != nil {
			return err
		}
		// A large mailbox is not read so often that it costs more than a little.
		pause = max(backlogPause, 10*time.Since(began))
	}
}

func (i *Inbox) room() bool { return i.load() < protocol.MaxOpenTasks && !i.opts.Store.Full() }

func sweepPause() time.Duration { return sweep/2 + rand.N(sweep) }

// read asks until there is an answer, or until the connection is made anew and
// asking begins again.
func (i *Inbox) read(ctx context.Context) error {
	for retry := firstRetry; ; retry = min(2*retry, maxRetry) {
		raw, stored, err := i.opts.Fetcher.Fetch(ctx)
		switch {
		case err == nil:
			return i.Receive(raw, stored)
		case errors.Is(err, broker.ErrNoMailbox):
			i.opts.SawEpoch(broker.NoMailbox)
			return nil
		}
		i.opts.Log.Debug("mailbox not read yet", zap.Error(err))
		select {
		case <-time.After(retry):
		case <-i.connect:
			i.Connected()
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
