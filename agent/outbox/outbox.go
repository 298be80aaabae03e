// Package outbox brings what the journal holds to the broker: statuses and
// verdicts first, output after them, each until it is acknowledged. It writes
// nothing but the tasks' cursors.
//
// Inside a task statuses go in order; between tasks those with a verdict go
// first. Statuses and output have a sender each, so that a large output delays
// no verdict.
//
// What happens when the process dies:
//
//	sent, not acknowledged      -> sent again; the stream drops it by its id, the fold by its number
//	acknowledged, cursor behind -> the same
//	all sent, task not finished -> finished at the next start
package outbox

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/journal"
)

// Publisher is the broker as the outbox needs it.
type Publisher interface {
	// Publish returns nil when the message is stored.
	Publish(ctx context.Context, subject, id string, data []byte) error
	// Send publishes what may get lost.
	Send(subject string, data []byte) error
	Connected() bool
}

// Options are the parts an Outbox works with.
type Options struct {
	Store     *journal.Store
	Publisher Publisher // nil when there is no broker: local work only
	ServerID  string
	// Spread is over how long everything is said again to a broker that forgot.
	Spread time.Duration
	Log    *zap.Logger
}

const (
	ackTimeout    = 10 * time.Second
	firstRetry    = 250 * time.Millisecond
	maxRetry      = 30 * time.Second
	progressPause = time.Second
)

// Outbox sends. Run it once.
type Outbox struct {
	opts     Options
	statuses signal
	outputs  signal
	latest   progress
	notices  notices
	epochs   chan string
}

// New makes an Outbox that listens to the store. Run sends.
func New(opts Options) *Outbox {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	o := &Outbox{opts: opts, statuses: newSignal(), outputs: newSignal(), epochs: make(chan string, 1)}
	o.latest.changed, o.notices.changed = newSignal(), newSignal()
	opts.Store.Listen(func(*journal.Task) { o.Wake() })
	return o
}

// Wake has the outbox look for something to send, as after a connect.
func (o *Outbox) Wake() {
	o.statuses.fire()
	o.outputs.fire()
	o.latest.changed.fire()
	o.notices.changed.fire()
}

// Run sends until ctx ends. Where it is then does not matter.
func (o *Outbox) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { o.loop(ctx, o.statuses, o.sendStatuses) })
	wg.Go(func() { o.loop(ctx, o.outputs, o.sendOutputs) })
	wg.Go(func() { o.loop(ctx, o.latest.changed, o.sendProgress) })
	wg.Go(func() { o.loop(ctx, o.notices.changed, o.sendNotices) })
	wg.Go(func() { o.watchEpoch(ctx) })
	wg.Wait()
}

// loop calls send whenever there may be something, and again after a growing
// pause when it failed.
func (o *Outbox) loop(ctx context.Context, wake signal, send func(context.Context) error) {
	retry := firstRetry
	for {
		err := send(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			retry = firstRetry
			select {
			case <-wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		o.opts.Log.Warn("not sent yet", zap.Error(err))
		// While the broker is away only its return is worth waking up for.
		var again <-chan time.Time
		if o.opts.Publisher == nil || o.opts.Publisher.Connected() {
			timer := time.NewTimer(retry)
			again = timer.C
			retry = min(2*retry, maxRetry)
		}
		select {
		case <-again:
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

func (o *Outbox) publish(ctx context.Context, subject, id string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	return o.opts.Publisher.Publish(ctx, subject, id, data)
}

// finish closes a task of which the broker has everything.
func (o *Outbox) finish(t *journal.Task) error {
	if !t.Latest().Status.Terminal() {
		return nil
	}
	if end, _ := t.Stuck(); end != nil {
		return nil // its program still runs
	}
	if !t.Accepted().Local && !o.sent(t) {
		return nil
	}
	return o.opts.Store.Finish(t)
}

// sent reports whether the broker has all that a task said: its verdict, and
// what its output holds now. That may be more than the verdict knew, if a program
// ran on, or less, if the host was cut off before its disk had it.
func (o *Outbox) sent(t *journal.Task) bool {
	cursor, latest := t.Cursor(), t.Latest()
	if cursor.Seq < latest.Seq {
		return false
	}
	for i := range latest.Items {
		if cursor.Sent(i) < t.OutputSize(i) {
			return false
		}
	}
	return true
}

// signal is a wake-up that is not lost and not counted.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) fire() {
	select {
	case s <- struct{}{}:
	default: // it has fired
	}
}
