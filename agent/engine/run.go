package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/failpoint"
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
	ticket *queue.Ticket // nil for a task that only needs its verdict said
	accept journal.AcceptRecord
	// resumed says that the task had begun before this run.
	resumed bool
	stuck   *stuckStep
}

// newRun takes the task's place in the queue, if it needs one.
func newRun(e *Engine, t *journal.Task) *run {
	accept := t.Accepted()
	log := e.opts.Log.With(zap.String("task", t.ID()))
	if accept.Task != nil {
		log = log.With(zap.String("job", accept.Task.JobID))
	}
	r := &run{engine: e, task: t, accept: accept, log: log, resumed: begun(t)}
	if !t.Latest().Status.Terminal() && t.Damage() == nil && accept.Replaced == "" {
		r.ticket = e.opts.Queue.Enter(t.ID(), r.exclusive(), r.resumed)
	}
	return r
}

func (r *run) exclusive() bool {
	for _, item := range r.accept.Task.Items {
		if _, t, ok := r.engine.opts.Registry.Lookup(item.Type); ok && t.Exclusive {
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
	switch {
	case r.task.Latest().Status.Terminal():
		return r.awaitStuck(ctx)
	case r.task.Damage() != nil:
		return r.conclude(r.lostTrack(ctx, protocol.JournalDamaged, "The agent's record of this task is damaged (%v), so it cannot tell what was done; nothing more is started.", r.task.Damage()))
	case r.accept.Replaced != "":
		return r.conclude(r.lostTrack(ctx, protocol.HostReplaced, "This task had been accepted by another installation of the agent (%s), whose state is gone; nothing was started by this one.", r.accept.Replaced))
	}
	if verdict, err := r.awaitTurn(ctx); err != nil || verdict != nil {
		return errors.Join(err, r.conclude(verdict))
	}
	verdict, err := r.work(ctx)
	if err != nil {
		return err
	}
	if err := r.conclude(verdict); err != nil {
		return err
	}
	return r.awaitStuck(ctx)
}

// awaitTurn waits for the queue. A verdict instead means that the task's time
// ran out, or it was cancelled, before it began.
func (r *run) awaitTurn(ctx context.Context) (*protocol.Status, error) {
	select {
	case <-r.ticket.Granted():
	default:
		if r.task.Latest().Phase == protocol.Accepted {
			if _, err := r.task.Say(protocol.Status{Status: protocol.Processing, Phase: protocol.Queued, Message: "Waiting for other work on this host to end."}); err != nil {
				return nil, err
			}
		}
	}
	waitCtx, cancel := context.WithDeadlineCause(ctx, time.UnixMilli(r.accept.ExpiresAt), errExpired)
	defer cancel()
	if r.resumed {
		waitCtx = ctx // what began in time may end in its own time
	}
	err := r.ticket.Wait(waitCtx)
	if err == nil && waitCtx.Err() != nil {
		err = context.Cause(waitCtx)
	}
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, errExpired):
		return r.expired(), nil
	case errors.Is(err, executors.ErrCancelled):
		if r.resumed {
			return nil, nil // it is for the executor to stop what it began
		}
		return r.cancelled(), nil
	}
	return nil, err
}

var errExpired = errors.New("task expired")

func (r *run) expired() *protocol.Status {
	return &protocol.Status{Status: protocol.Failed, Code: protocol.TaskExpired, Message: fmt.Sprintf(
		"The task expired at %s before its first action; nothing was started on this host.",
		time.UnixMilli(r.accept.ExpiresAt).UTC().Format(time.RFC3339))}
}

// work runs the items in order and verifies them.
func (r *run) work(ctx context.Context) (*protocol.Status, error) {
	ctx, cancel := r.withDeadline(ctx)
	defer cancel()
	results := make([]executors.Result, len(r.accept.Task.Items))
	for i := range results {
		result, err := r.item(ctx, i)
		if err != nil {
			return r.failure(ctx, i, err)
		}
		results[i] = result
	}
	for i := range results {
		result, err := r.verify(ctx, i, results[i])
		if err != nil {
			return r.failure(ctx, i, err)
		}
		results[i] = result
	}
	return r.success(results), nil
}

// withDeadline bounds the task by its own timeout or the sum of its items',
// less what it has used.
func (r *run) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	budget := time.Duration(r.accept.Task.TimeoutSeconds) * time.Second
	if budget == 0 {
		for _, item := range r.accept.Task.Items {
			_, t, _ := r.engine.opts.Registry.Lookup(item.Type)
			budget += t.Timeout()
		}
	}
	return context.WithTimeoutCause(ctx, budget-r.task.Spent(), executors.ErrDeadline)
}

// item runs one item, or answers with the result it had before a restart.
func (r *run) item(ctx context.Context, i int) (result executors.Result, err error) {
	if raw, ok := r.task.Memo(i, resultMemo); ok {
		return result, json.Unmarshal(raw, &result)
	}
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	item := r.accept.Task.Items[i]
	executor, _, ok := r.engine.opts.Registry.Lookup(item.Type)
	if !ok {
		// It was there when the task was accepted.
		return result, executors.Fail(protocol.TypeUnknown, "This agent has no executor for %s any more.", item.Type)
	}
	if err := r.sayOnce(protocol.Running, i, item.Type+" is running."); err != nil {
		return result, journalError{err}
	}
	host, err := newHost(r, i)
	if err != nil {
		return result, journalError{err}
	}
	if r.resumed && r.task.OutputSize(i) > 0 {
		host.Printf("[%s is taken up again after a restart of the agent]\n", item.Type)
	}
	result, err = guard(func() (executors.Result, error) {
		return executor.Execute(ctx, host, executors.Spec(item.Spec))
	})
	if err == nil {
		err = host.leftOver()
	}
	if err = errors.Join(host.err, err); err != nil {
		return result, err
	}
	return result, r.putResult(i, resultMemo, result)
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
	result, err = guard(func() (executors.Result, error) {
		return verifier.Verify(ctx, host, executors.Spec(item.Spec))
	})
	return result, errors.Join(host.err, err)
}

func (r *run) putResult(i int, name string, result executors.Result) error {
	raw, err := json.Marshal(result)
	if err == nil {
		err = r.task.PutMemo(journal.MemoRecord{Item: i, Name: name, Value: raw})
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
	return err
}

// conclude records the verdict. Where there is one already, that one stands.
func (r *run) conclude(verdict *protocol.Status) error {
	if verdict == nil {
		return nil
	}
	verdict.Phase, verdict.Percent = protocol.Done, 100
	verdict.Items = r.task.Outputs()
	attempts, note := r.interruptions()
	verdict.Attempts = attempts
	if note != "" {
		verdict.Message = strings.TrimSpace(verdict.Message + "\n" + note)
	}
	said, err := r.task.Say(*verdict)
	if errors.Is(err, journal.ErrEnded) {
		return nil
	}
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.Verdict)
	r.log.Info("verdict", zap.String("status", string(said.Status)), zap.String("code", string(said.Code)), zap.String("message", said.Message))
	return nil
}

// journalError marks an error of the agent's own state, for which no executor
// is to blame.
type journalError struct{ error }

func (e journalError) Unwrap() error { return e.error }
