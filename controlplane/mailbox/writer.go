// Package mailbox writes what each server has to know into its mailbox, by
// deltas and compare-and-set, so that several replicas may write at once.
//
// A replica adds what it knows to be wanted and removes what it knows to be
// settled; what it does not know it leaves. The jobs are the truth: who dies
// before a write has the next start write it, and who dies after it has lost
// nothing. A write is tried until the broker has acknowledged it.
package mailbox

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// Options of a Writer.
type Options struct {
	JS    jetstream.JetStream
	View  *view.View
	Key   ed25519.PrivateKey
	Epoch string      // written into every mailbox
	Log   *zap.Logger // nil: silent
	// Soon is how long changes that no host waits for are gathered; zero: 200 ms.
	Soon time.Duration
	// Sweep is how often the mailboxes that should say something are read again,
	// in case the broker went back to an older state; zero: 5 minutes.
	Sweep time.Duration
}

// Writer keeps mailboxes as the view wants them. All methods are safe for
// concurrent use.
type Writer struct {
	opts   Options
	log    *zap.Logger
	stream jetstream.Stream
	queue  *queue

	mu    sync.Mutex
	cache map[string]*box // what was last read or written
	greet map[string]bool // servers whose mailbox is written even when it says nothing
}

// Open makes a writer on the mailbox stream. Nothing is written before Run.
func Open(ctx context.Context, opts Options) (*Writer, error) {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.Soon == 0 {
		opts.Soon = 200 * time.Millisecond
	}
	if opts.Sweep == 0 {
		opts.Sweep = 5 * time.Minute
	}
	stream, err := opts.JS.Stream(ctx, protocol.MailboxStream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", protocol.MailboxStream, err)
	}
	return &Writer{
		opts: opts, log: opts.Log, stream: stream, queue: newQueue(opts.Soon),
		cache: map[string]*box{}, greet: map[string]bool{},
	}, nil
}

// Touch asks for a look at a server's mailbox. It never blocks.
func (w *Writer) Touch(server string, atOnce bool) { w.queue.touch(server, atOnce) }

// Greet writes a server's mailbox although there may be nothing to say in it,
// so that its agent learns of the epoch.
func (w *Writer) Greet(server string) {
	w.mu.Lock()
	w.greet[server] = true
	w.mu.Unlock()
	w.Touch(server, false)
}

// Seed takes a mailbox as it was read from the stream at sequence.
func (w *Writer) Seed(server string, data []byte, sequence uint64) protocol.Mailbox {
	b := decode(server, data, sequence)
	w.mu.Lock()
	w.cache[server] = b
	w.mu.Unlock()
	return b.Mailbox
}

const (
	writers    = 16 // mailboxes written at the same time
	retryAfter = time.Second
)

// Run writes until ctx ends. Call it once the view is complete.
func (w *Writer) Run(ctx context.Context) {
	var group sync.WaitGroup
	group.Go(func() { w.sweep(ctx) })
	for range writers {
		group.Go(func() {
			for {
				server, ok := w.queue.take(ctx)
				if !ok {
					return
				}
				err := w.update(ctx, server)
				w.queue.done(server)
				if err != nil && ctx.Err() == nil {
					w.log.Warn("mailbox not written; it is tried again", zap.String("server", server), zap.Error(err))
					w.queue.touchAfter(server, retryAfter)
				}
			}
		})
	}
	group.Wait()
}

func (w *Writer) sweep(ctx context.Context) {
	for pause(ctx, w.opts.Sweep) {
		for _, server := range w.opts.View.Busy() {
			w.forget(server)
			w.Touch(server, false)
		}
	}
}

const casAttempts = 50

func (w *Writer) update(ctx context.Context, server string) error {
	for attempt := range casAttempts {
		current, err := w.current(ctx, server)
		if err != nil {
			return err
		}
		next, changed, err := w.next(server, current)
		if err != nil || !changed {
			return err
		}
		err = w.write(ctx, server, next)
		if err == nil {
			return nil
		}
		w.forget(server)
		if !broker.LostRace(err) {
			return err
		}
		// A copy on another server of the cluster may answer with an old mailbox.
		if !pause(ctx, time.Duration(attempt)*5*time.Millisecond) {
			return ctx.Err()
		}
	}
	return errors.New("other replicas changed it each time")
}

func (w *Writer) current(ctx context.Context, server string) (*box, error) {
	w.mu.Lock()
	cached := w.cache[server]
	w.mu.Unlock()
	if cached != nil {
		return cached, nil
	}
	return w.read(ctx, server)
}

func (w *Writer) read(ctx context.Context, server string) (*box, error) {
	msg, err := w.stream.GetLastMsgForSubject(ctx, protocol.MailboxSubject(server))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return decode(server, nil, 0), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read mailbox: %w", err)
	}
	return decode(server, msg.Data, msg.Sequence), nil
}

// Lists reports whether the mailbox in the stream lists a task.
func (w *Writer) Lists(ctx context.Context, server, task string) (bool, error) {
	current, err := w.read(ctx, server)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(current.listed, func(l listed) bool {
		return l.Type == protocol.TaskPayload && l.TaskID == task
	}), nil
}

func (w *Writer) write(ctx context.Context, server string, next *box) error {
	data, err := json.Marshal(next.Mailbox)
	if err != nil {
		return fmt.Errorf("encode mailbox: %w", err)
	}
	msg := &nats.Msg{Subject: protocol.MailboxSubject(server), Data: data}
	ack, err := w.opts.JS.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(next.sequence))
	if err != nil {
		return fmt.Errorf("write mailbox: %w", err)
	}
	next.sequence = ack.Sequence
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cache[server] = next
	delete(w.greet, server)
	return nil
}

func (w *Writer) forget(server string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.cache, server)
}

func (w *Writer) greets(server string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.greet[server]
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
