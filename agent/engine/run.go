package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/queue"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// resultMemo is the name under which an item's result is recorded. Executors
// cannot use it: their memo names are checked.
const resultMemo = "engine/result"

// run takes one task from wherever it is to its verdict.
type run struct {
	engine *Engine
	task   *journal.Task
	log    *zap.Logger
	ticket *queue.Ticket // nil for a task that has its verdict
	accept journal.AcceptRecord
	// resumed says that the task had begun before this run.
	resumed bool
	results []executors.Result // of the items that succeeded
	step    string             // asked for last
	stuck   *stuckStep         // what runs on after the verdict
}

// newRun takes the task's place in the queue, or closes the host for what its
// verdict left running.
func newRun(e *Engine, t *journal.Task) *run {
	accept := t.Accepted()
	log := e.opts.Log.With(zap.String("task", t.ID()))
	if accept.Task != nil {
		log = log.With(zap.String("job", accept.Task.JobID))
	}
	r := &run{engine: e, task: t, accept: accept, log: log, resumed: begun(t)}
	switch {
	case t.Latest().Status.Terminal():
		r.findStuck()
	case r.unknown():
		// It only looks at the host, but not while another task has it alone.
		r.ticket = e.opts.Queue.Enter(t.ID(), false, true)
	default:
		r.ticket = e.opts.Queue.Enter(t.ID(), r.exclusive(), r.resumed)
	}
	return r
}

// unknown reports whether it cannot be known what was done for the task.
func (r *run) unknown() bool { return r.task.Damage() != nil || r.accept.Replaced != "" }

func (r *run) exclusive() bool {
	for _, item := range r.accept.Task.Items {
		if _, t, ok := r.engine.opts.Registry.Lookup(item.Type); ok && t.For(item.Spec).Exclusive {
			return true
		}
	}
	return r.accept.Task.IsReboot
}

// toVerdict runs the task. An error is the journal's, or ErrStopping.
func (r *run) toVerdict(ctx context.Context) error {
	if r.ticket != nil {
		defer r.ticket.Leave()
	}
	if r.task.Latest().Status.Terminal() {
		return r.awaitStuck()
	}
	verdict, err := r.judge(ctx)
	if err != nil {
		return err
	}
	if err := r.conclude(verdict); err != nil {
		return err
	}
	return r.awaitStuck()
}

// judge comes to the verdict.
func (r *run) judge(ctx context.Context) (*protocol.Status, error) {
	if r.unknown() {
		return r.giveUp()
	}
	if verdict, err := r.awaitTurn(ctx); err != nil || verdict != nil {
		return verdict, err
	}
	return r.work(ctx)
}

// awaitTurn waits for the queue. A verdict instead means that the task's time
// ran out, or it was cancelled, before it began.
func (r *run) awaitTurn(ctx context.Context) (*protocol.Status, error) {
	if r.resumed {
		// What began in time may end in its own time, and it is for its executor
		// to stop what it began.
		return nil, r.ticket.Wait(r.engine.life)
	}
	select {
	case <-r.ticket.Granted():
	default:
		if r.task.Latest().Phase == protocol.Accepted {
			if _, err := r.task.Say(protocol.Status{Status: protocol.Processing, Phase: protocol.Queued, Message: "Waiting for other work on this host to end."}); err != nil {
				return nil, err
			}
		}
	}
	left := time.UnixMilli(r.accept.ExpiresAt).Sub(r.engine.opts.Now())
	ctx, cancel := context.WithTimeoutCause(ctx, left, errExpired)
	defer cancel()
	err := r.ticket.Wait(ctx)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	switch {
	case errors.Is(err, errExpired):
		return r.expired(), nil
	case errors.Is(err, executors.ErrCancelled):
		return r.cancelled(), nil
	}
	return nil, err
}

var errExpired = errors.New("task expired")

// work runs the items in order and verifies them.
func (r *run) work(ctx context.Context) (*protocol.Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.budget()-r.task.Spent(), executors.ErrDeadline)
	defer cancel()
	for i := range r.accept.Task.Items {
		result, err := r.item(ctx, i)
		if err != nil {
			return r.failure(ctx, i, err)
		}
		r.results = append(r.results, result)
	}
	if err := r.activate(ctx); err != nil {
		return r.failure(ctx, len(r.results)-1, err)
	}
	for i := range r.results {
		result, err := r.verify(ctx, i, r.results[i])
		if err != nil {
			return r.failure(ctx, i, err)
		}
		r.results[i] = result
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	if stuck, _ := r.task.Stuck(); stuck != nil {
		return r.failure(ctx, stuck.Item, executors.ErrStuck)
	}
	return r.success(), nil
}

// budget is the time the task may take: its own timeout, or the sum of its
// items'.
func (r *run) budget() time.Duration {
	if seconds := r.accept.Task.TimeoutSeconds; seconds > 0 {
		return min(time.Duration(min(seconds, int64(protocol.MaxValidity/time.Second)))*time.Second, protocol.MaxValidity)
	}
	var sum time.Duration
	for _, item := range r.accept.Task.Items {
		_, t, _ := r.engine.opts.Registry.Lookup(item.Type)
		sum += t.For(item.Spec).Timeout()
	}
	return sum
}

// item runs one item, or answers with the result it had before a restart.
func (r *run) item(ctx context.Context, i int) (result executors.Result, err error) {
	if raw, ok := r.task.Memo(i, resultMemo); ok {
		return result, json.Unmarshal(raw, &result)
	}
	item := r.accept.Task.Items[i]
	executor, _, ok := r.engine.opts.Registry.Lookup(item.Type)
	if !ok {
		// It was there when the task was accepted.
		return result, executors.Fail(protocol.TypeUnknown, "This agent has no executor for %s any more.", item.Type)
	}
	if ctx.Err() != nil && !r.actedIn(i) {
		return result, context.Cause(ctx)
	}
	if err := r.sayOnce(protocol.Running, i, item.Type+" is running."); err != nil {
		return result, journalError{err}
	}
	host, err := newHost(r, i)
	if err != nil {
		return result, journalError{err}
	}
	if r.resumed && r.task.OutputSize(i) > 0 {
		host.Printf("%s", takenUp(item.Type))
	}
	r.step = ""
	result, err = r.ask(host, func() (executors.Result, error) {
		return executor.Execute(ctx, host, executors.Spec(item.Spec))
	})
	if err == nil {
		err = host.leftOver("")
	}
	if err != nil {
		return result, err
	}
	return result, r.putResult(i, result)
}

// verify lets an executor look at what its work came to.
func (r *run) verify(ctx context.Context, i int, result executors.Result) (executors.Result, error) {
	item := r.accept.Task.Items[i]
	executor, _, _ := r.engine.opts.Registry.Lookup(item.Type)
	verifier, ok := executor.(executors.Verifier)
	if !ok {
		return result, nil
	}
	if err := r.sayOnce(protocol.Verifying, i, "Verifying "+item.Type+"."); err != nil {
		return result, journalError{err}
	}
	host, err := newHost(r, i)
	if err != nil {
		return result, journalError{err}
	}
	host.verifying = true
	return r.ask(host, func() (executors.Result, error) {
		return verifier.Verify(ctx, host, executors.Spec(item.Spec))
	})
}

// ask calls an executor. Its answer counts only if the agent does not stop and
// the host has found no fault.
func (r *run) ask(host *host, call func() (executors.Result, error)) (executors.Result, error) {
	result, err := guard(call)
	if stopping := r.engine.stopping(); stopping != nil {
		err = stopping
	} else if host.fault != nil {
		err = host.fault
	}
	return result, err
}

func (r *run) putResult(i int, result executors.Result) error {
	raw, err := json.Marshal(result)
	if err == nil {
		err = r.task.PutMemo(journal.MemoRecord{Item: i, Name: resultMemo, Value: raw})
	}
	if err != nil {
		return journalError{err}
	}
	return nil
}

// sayOnce records a transition unless the task said it before a restart.
func (r *run) sayOnce(phase protocol.Phase, item int, message string) error {
	for _, s := range r.task.Statuses() {
		if s.Status.Phase == phase && s.Status.Item == item {
			return nil
		}
	}
	_, err := r.task.Say(protocol.Status{Status: protocol.Processing, Phase: phase, Item: item, Message: message})
	if err != nil {
		return fmt.Errorf("say %s of item %d: %w", phase, item, err)
	}
	return nil
}

// journalError marks an error of the agent's own state, for which no executor
// is to blame.
type journalError struct{ error }

func (e journalError) Unwrap() error { return e.error }
