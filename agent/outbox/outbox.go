// Package outbox brings what the journal holds to the broker: statuses and
// verdicts first, output after them, each until it is acknowledged. It writes
// nothing but the tasks' cursors.
//
// Inside a task statuses go in order; between tasks those with a verdict go
// first. Statuses and output have a sender each, so that a large output delays
// no verdict, and a task whose messages the broker refuses delays no other.
//
// What happens when the process dies:
//
//	sent, not acknowledged      -> sent again; the stream drops it by its id, the fold by its number
//	acknowledged, cursor behind -> the same
//	all sent, task not finished -> finished at the next start
package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// Publisher is the broker as the outbox needs it.
type Publisher interface {
	// Publish returns nil when the message is stored; broker.ErrAway when it may
	// not be, broker.ErrRefused when it was refused. It does not wait for ever.
	Publish(ctx context.Context, subject, id string, data []byte) error
	// Send publishes what may get lost.
	Send(subject string, data []byte) error
	Connected() bool
}

// Options are the parts an Outbox works with.
type Options struct {
	Store     *journal.Store
	Publisher Publisher // nil when there is no broker: local work is closed, no more
	ServerID  string
	// Spread is over how long everything is said again to a broker that forgot.
	Spread time.Duration
	// Noticed, if not nil, is told each notice that goes out, alike ones counted
	// together. It must not use the outbox.
	Noticed func(protocol.Notice)
	Log     *zap.Logger
}

const (
	firstRetry    = 250 * time.Millisecond
	maxRetry      = 30 * time.Second
	progressPause = time.Second
)

// Outbox sends. Run it once.
type Outbox struct {
	opts     Options
	locals   sender
	statuses sender
	outputs  sender
	latest   progress
	notices  notices
	epochs   chan string
}

// New makes an Outbox that listens to the store. Run sends.
func New(opts Options) *Outbox {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	o := &Outbox{opts: opts, locals: newSender(), statuses: newSender(), outputs: newSender(), epochs: make(chan string, 1)}
	o.latest.sender, o.notices.sender = newSender(), newSender()
	o.notices.told = opts.Noticed
	opts.Store.Listen(func(t *journal.Task) {
		if t.Accepted().Local {
			o.locals.more.fire()
			return
		}
		o.statuses.more.fire()
		o.outputs.more.fire()
	})
	return o
}

// Wake has the outbox try at once, as after a connect.
func (o *Outbox) Wake() {
	for _, s := range []sender{o.statuses, o.outputs, o.latest.sender, o.notices.sender} {
		s.now.fire()
	}
}

// Run sends until ctx ends. Where it is then does not matter.
func (o *Outbox) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { o.loop(ctx, o.locals, o.closeLocal) })
	if o.opts.Publisher == nil {
		return
	}
	wg.Go(func() { o.loop(ctx, o.statuses, o.sendStatuses) })
	wg.Go(func() { o.loop(ctx, o.outputs, o.sendOutputs) })
	wg.Go(func() { o.loop(ctx, o.latest.sender, o.sendProgress) })
	wg.Go(func() { o.loop(ctx, o.notices.sender, o.sendNotices) })
	wg.Go(func() { o.watchEpoch(ctx) })
}

// sender is how one of the loops is woken up.
type sender struct {
	more signal // there may be something to send
	now  signal // the broker is there again
}

func newSender() sender { return sender{make(signal, 1), make(signal, 1)} }

// loop calls send whenever there may be something, and again after a growing
// pause when it failed.
func (o *Outbox) loop(ctx context.Context, s sender, send func(context.Context) error) {
	retry := firstRetry
	for {
		err := send(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			retry = firstRetry
			select {
			case <-s.more:
			case <-s.now:
			case <-ctx.Done():
				return
			}
			continue
		}
		o.opts.Log.Warn("not sent yet", zap.Error(err))
		if o.wait(ctx, s, retry, err) {
			retry = firstRetry
		} else {
			retry = min(2*retry, maxRetry)
		}
	}
}

// wait waits after a failure and reports whether the broker has come back
// meanwhile. While it is away nothing else is worth waking up for; what it
// refused keeps nothing else waiting.
func (o *Outbox) wait(ctx context.Context, s sender, retry time.Duration, err error) (back bool) {
	away := errors.Is(err, broker.ErrAway)
	var again <-chan time.Time
	if !away || o.opts.Publisher.Connected() {
		timer := time.NewTimer(retry)
		defer timer.Stop()
		again = timer.C
	}
	var more <-chan struct{}
	if !away {
		pause := time.NewTimer(firstRetry) // a stream of news is not a stream of attempts
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return false
		}
		more = s.more
	}
	select {
	case <-again:
	case <-more:
	case <-s.now:
		return true
	case <-ctx.Done():
	}
	return false
}

// closeLocal closes the local work that has ended; nobody is told of it.
func (o *Outbox) closeLocal(context.Context) error {
	var errs []error
	for _, t := range o.opts.Store.AllOpen() {
		if t.Accepted().Local && ended(t) {
			errs = append(errs, o.opts.Store.Finish(t))
		}
	}
	return joined(errs)
}

// finish closes a task of which the broker has everything.
func (o *Outbox) finish(t *journal.Task) error {
	if !ended(t) || !o.sent(t) {
		return nil
	}
	return o.opts.Store.Finish(t)
}

// ended reports whether a task has its verdict and none of its programs runs.
func ended(t *journal.Task) bool {
	stuck, _ := t.Stuck()
	return stuck == nil && t.Latest().Status.Terminal()
}

// sent reports whether the broker has all that a task said: its verdict, and
// what its output holds now, which is more than the verdict knew if a program
// ran on.
func (o *Outbox) sent(t *journal.Task) bool {
	cursor := t.Cursor()
	for i := range t.Latest().Items {
		if cursor.Sent(i) < t.OutputSize(i) {
			return false
		}
	}
	return t.Delivered()
}

// signal is a wake-up that is not lost and not counted.
type signal chan struct{}

func (s signal) fire() {
	select {
	case s <- struct{}{}:
	default: // it has fired
	}
}
