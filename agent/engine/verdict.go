package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

func (r *run) success(results []executors.Result) *protocol.Status {
	verdict := &protocol.Status{Status: protocol.Success, Item: len(results) - 1}
	var messages []string
	for _, result := range results {
		if result.Message != "" {
			messages = append(messages, result.Message)
		}
		if result.Code != "" {
			verdict.Code = result.Code
		}
		verdict.RebootRequired = verdict.RebootRequired || result.RebootRequired
	}
	verdict.Message = strings.Join(messages, "\n")
	return verdict
}

// failure turns what ended an item into the task's verdict, or passes on what
// is not the task's: that the agent stops, or cannot write its journal.
func (r *run) failure(ctx context.Context, item int, err error) (*protocol.Status, error) {
	var failed *executors.Failure
	var own journalError
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, executors.ErrStopping) || errors.Is(err, executors.ErrStopping):
		return nil, executors.ErrStopping
	case errors.Is(err, journal.ErrStatusLimit):
		return r.failed(item, protocol.StatusLimit, "The task had more transitions than it may report; it was ended."), nil
	case errors.Is(err, journal.ErrDiskFull):
		return r.failed(item, protocol.NoticeDiskFull, "The disk of the agent's state directory is full, so nothing more could be recorded and nothing more was started. Make room, then create the job again."), nil
	case errors.As(err, &own):
		return nil, own
	case errors.Is(err, errExpired):
		return r.expired(), nil
	case errors.Is(err, executors.ErrDiverged):
		return r.lostTrack(ctx, protocol.ReplayDiverged, "After a restart of the agent the executor asked for other actions than those recorded (%v); nothing more was started.", err), nil
	case errors.Is(err, executors.ErrStuck):
		return r.failed(item, protocol.StepStuck, "%v: still running, not killed. The host stays closed to exclusive work until it has ended.", err), nil
	case errors.As(err, &failed) && cause == nil:
		verdict := r.failed(item, failed.Code, "%s", failed.Message)
		return verdict, nil
	case errors.Is(cause, executors.ErrCancelled):
		return r.cancelled(), nil
	case errors.Is(cause, executors.ErrDeadline):
		return r.failed(item, protocol.DeadlineExceeded, "The task ran out of time after %s. %s", r.task.Spent().Round(1e9), r.done()), nil
	case errors.Is(err, executors.ErrInterrupted):
		return r.failed(item, protocol.StepInterrupted, "%v. %s", err, r.done()), nil
	}
	return r.failed(item, protocol.ExecutorFailed, "%v", err), nil
}

func (r *run) failed(item int, code protocol.Code, format string, args ...any) *protocol.Status {
	return &protocol.Status{Status: protocol.Failed, Item: item, Code: code, Message: fmt.Sprintf(format, args...)}
}

// lostTrack is the verdict of a task of which it is not known what was done. It
// says what the host looks like instead.
func (r *run) lostTrack(ctx context.Context, code protocol.Code, format string, args ...any) *protocol.Status {
	verdict := r.failed(0, code, format, args...)
	if state := r.engine.survey(ctx); state != "" {
		verdict.Message += " The host now: " + state
	}
	return verdict
}

func (r *run) cancelled() *protocol.Status {
	reason := "no reason was given"
	if c := r.task.Cancelled(); c != nil && c.Reason != "" {
		reason = c.Reason
	}
	return &protocol.Status{Status: protocol.Deleted, Code: protocol.TaskCancelled,
		Message: fmt.Sprintf("Cancelled (%s). %s", reason, r.done())}
}

// done says which actions were started, for those who must know what a task
// that did not succeed left behind.
func (r *run) done() string {
	var said []string
	for _, start := range r.task.Starts() {
		for _, a := range r.task.Attempts(start.Item, start.Step) {
			if a.Attempt == start.Attempt && (a.End == nil || a.End.Outcome != journal.Abandoned) {
				said = append(said, start.Step+" "+outcome(a.End))
			}
		}
	}
	if len(said) == 0 {
		return "No action had been started on this host."
	}
	return "Actions on this host: " + strings.Join(said, ", ") + "."
}

func outcome(end *journal.EndRecord) string {
	switch {
	case end == nil:
		return "(running)"
	case end.Outcome == journal.Exited && end.Code == 0:
		return "(done)"
	case end.Outcome == journal.Exited:
		return fmt.Sprintf("(exit %d)", end.Code)
	}
	return "(" + string(end.Outcome) + ")"
}

// interruptions counts the starts of the step that was started most often and
// names every step that was cut.
func (r *run) interruptions() (most int, note string) {
	var cut []string
	for _, start := range r.task.Starts() {
		attempts := visible(r.task.Attempts(start.Item, start.Step))
		most = max(most, len(attempts))
		if start.Attempt == 1 && len(attempts) > 1 {
			cut = append(cut, fmt.Sprintf("%s was interrupted and started %d times", start.Step, len(attempts)))
		}
	}
	if len(cut) > 0 {
		note = "Note: " + strings.Join(cut, "; ") + "."
	}
	return most, note
}

// visible leaves out the attempts that never started.
func visible(attempts []journal.Attempt) []journal.Attempt {
	var started []journal.Attempt
	for _, a := range attempts {
		if a.End == nil || a.End.Outcome != journal.Abandoned {
			started = append(started, a)
		}
	}
	return started
}

// survey asks what state the host is in. "" if there is nobody to ask.
func (e *Engine) survey(ctx context.Context) string {
	if e.opts.Survey == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*executors.QueryTimeout)
	defer cancel()
	result, err := guard(func() (executors.Result, error) {
		return e.opts.Survey.Execute(ctx, onlooker{e.opts.Tools}, nil)
	})
	if err != nil {
		return err.Error()
	}
	return result.Message
}

// guard turns an executor's panic into an error: it must not take other tasks
// down with it.
func guard(execute func() (executors.Result, error)) (result executors.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			err = fmt.Errorf("the executor crashed, which is a fault of the agent: please report it: %v\n%s", p, stack[:min(len(stack), 2048)])
		}
	}()
	return execute()
}
