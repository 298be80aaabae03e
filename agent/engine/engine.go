// Package engine runs tasks: it takes what the journal holds open, waits for the
// queue, replays the executors and gives the verdict.
//
// All that it decides is in the journal before it is acted on, so a task goes on
// after a crash from wherever it was: an item whose result is recorded is not
// run again, one that is not is replayed from the top, and its actions answer
// from what they left on disk (package step).
//
// What happens when the process dies after each record:
//
//	RUNNING of an item   -> the item is replayed; nothing had been done
//	start of a step      -> its folder tells whether it runs, ended, was cut or never started
//	end of a step        -> the replay gets the recorded end
//	result of an item    -> the next item
//	verdict              -> nothing; the outbox sends it
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/queue"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// Options are the parts an Engine works with. All but Progress, Survey, Now, the
// times and Log are needed.
type Options struct {
	Store        *journal.Store
	Queue        *queue.Queue
	Registry     executors.Registry
	Surroundings step.Surroundings
	Tools        step.Tools
	Boot         string      // id of the present boot
	Limits       step.Limits // of every program that may be ended
	// Progress takes what is not journaled. It must not block.
	Progress func(protocol.Status)
	// Power restarts the host; nil if it cannot be restarted.
	Power Power
	// Survey is asked what the host's state is, for the verdicts that have to
	// say so. It only queries.
	Survey executors.Executor
	// Now is the time by which tasks expire; nil: the host's clock.
	Now func() time.Time
	// Retry is the time between two attempts to go on where the host cannot now: its disk
	// is full, or its service manager starts nothing; zero: 5 s.
	Retry time.Duration
	// Look is the time between two looks at the output of a program that runs; zero: 1 s.
	Look time.Duration
	Log  *zap.Logger
}

// Power restarts the host.
type Power interface {
	// Clear waits until nothing on the host stands against a restart, and tells
	// what does. It returns an error when that takes too long or ctx ends.
	Clear(ctx context.Context, tell func(obstacle string)) error
	// Ask returns nil when the host goes down, or was asked to and has not
	// answered yet.
	Ask(ctx context.Context, t *journal.Task) error
	// GoingDown reports whether the host is known to be on its way.
	GoingDown(ctx context.Context) bool
	// CallOff takes back a restart that was asked for and has not begun.
	CallOff(ctx context.Context) error
}

// Engine runs the tasks of one host.
type Engine struct {
	opts    Options
	digests step.Digests
	life    context.Context // ends with the cause ErrStopping

	mu      sync.Mutex
	cancels map[string]context.CancelCauseFunc // of the tasks that run or wait
	stopped bool
	wg      sync.WaitGroup
	fatal   chan error
}

// New makes an Engine; Start sets it going.
func New(opts Options) *Engine {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.Progress == nil {
		opts.Progress = func(protocol.Status) {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Retry == 0 {
		opts.Retry = 5 * time.Second
	}
	if opts.Look == 0 {
		opts.Look = time.Second
	}
	return &Engine{opts: opts, cancels: map[string]context.CancelCauseFunc{}, fatal: make(chan error, 1)}
}

// Start lets Resume and Submit be called. When ctx ends, everything stops where
// it is, to be taken up by the next agent; programs run on.
func (e *Engine) Start(ctx context.Context) {
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { stop(executors.ErrStopping) })
	e.life = life
}

// Resume takes up all open tasks of the journal, those first that had begun.
// Call it before anybody else submits: whoever had the host gets it back first.
func (e *Engine) Resume() {
	var fresh []*journal.Task
	for _, t := range e.opts.Store.AllOpen() {
		if begun(t) && t.Damage() == nil {
			e.Submit(t)
		} else {
			fresh = append(fresh, t)
		}
	}
	for _, t := range fresh {
		e.Submit(t)
	}
}

// Wait returns nil when everything has come to rest after the end of Start's
// context, or at once with what makes it pointless to go on: a state directory
// that cannot be written.
func (e *Engine) Wait() error {
	select {
	case err := <-e.fatal:
		return err
	case <-e.life.Done():
	}
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	e.wg.Wait()
	return nil
}

// Submit has a task run when its turn comes. The task is in the journal. A task
// that runs already, or waits, is left to that; after the end of Start's
// context it is left to the next agent.
func (e *Engine) Submit(t *journal.Task) {
	ctx, cancel := context.WithCancelCause(e.life)
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, runs := e.cancels[t.ID()]; runs || e.stopped {
		cancel(nil)
		return
	}
	e.cancels[t.ID()] = cancel
	// A cancel that was recorded before this line is seen here, a later one finds
	// the task in cancels.
	if t.Cancelled() != nil {
		cancel(executors.ErrCancelled)
	}
	// The place in the queue is taken here, so that order is that of the calls.
	r := newRun(e, t)
	e.wg.Go(func() {
		e.finish(ctx, r)
		cancel(nil)
		e.mu.Lock()
		delete(e.cancels, t.ID())
		e.mu.Unlock()
	})
}

// finish takes a run to its verdict, however often the disk is full on the way.
func (e *Engine) finish(ctx context.Context, r *run) {
	err := r.toVerdict(ctx)
	for errors.Is(err, journal.ErrDiskFull) && e.pause() {
		// Even the reserve is used up. A run begun anew is a replay, so it goes on
		// from what could be recorded.
		r = newRun(e, r.task)
		err = r.toVerdict(ctx)
	}
	if err != nil && e.life.Err() == nil {
		e.fail(fmt.Errorf("task %s: %w", r.task.ID(), err))
	}
}

// pause waits for somebody to make room on the disk; false if the agent stops.
func (e *Engine) pause() bool {
	e.opts.Log.Warn("the disk of the state directory is full; trying again", zap.Duration("in", e.opts.Retry))
	select {
	case <-time.After(e.opts.Retry):
		return true
	case <-e.life.Done():
		return false
	}
}

// Beat returns if the engine, its queue and its journal can be used at all. It is
// for a watchdog: where they hang, so does it.
func (e *Engine) Beat() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opts.Queue.State()
	e.opts.Store.AllOpen()
}

// Cancel obeys a cancel that is in the journal already.
func (e *Engine) Cancel(t *journal.Task) {
	e.mu.Lock()
	cancel := e.cancels[t.ID()]
	e.mu.Unlock()
	if cancel != nil {
		cancel(executors.ErrCancelled)
	}
}

func (e *Engine) fail(err error) {
	e.opts.Log.Error("the journal cannot be written", zap.Error(err))
	select {
	case e.fatal <- err:
	default: // one reason is enough
	}
}

// stopping is ErrStopping once the agent stops: whatever an executor came to
// then is thrown away, since it may have come to it because the agent stopped.
func (e *Engine) stopping() error {
	if e.life.Err() != nil {
		return executors.ErrStopping
	}
	return nil
}

func begun(t *journal.Task) bool {
	for _, s := range t.Statuses() {
		if s.Status.Phase == protocol.Running {
			return true
		}
	}
	return false
}
