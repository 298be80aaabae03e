package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// conclude records the verdict. Where there is one already, that one stands.
func (r *run) conclude(verdict *protocol.Status) error {
	verdict.Phase, verdict.Percent = protocol.Done, 100
	r.syncOutputs()
	verdict.Items = r.task.Outputs()
	attempts, note := r.interruptions()
	verdict.Attempts = attempts
	if note != "" {
		// However long the message is, what was cut must be in it.
		note = shorten(note, protocol.MaxMessage/2)
		verdict.Message = strings.TrimSpace(shorten(verdict.Message, protocol.MaxMessage-len(note)-1) + "\n" + note)
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

// syncOutputs makes sure that the disk has the bytes that the verdict promises.
func (r *run) syncOutputs() {
	if r.accept.Task == nil {
		return
	}
	for i := range r.accept.Task.Items {
		file, err := os.Open(r.task.OutputPath(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(file.Sync(), file.Close())
		}
		if err != nil {
			r.log.Sugar().Warnf("sync output of item %d: %v", i, err)
		}
	}
}

func (r *run) success() *protocol.Status {
	verdict := &protocol.Status{Status: protocol.Success, Item: len(r.results) - 1, Message: r.told()}
	for _, result := range r.results {
		if result.Code != "" {
			verdict.Code = result.Code
		}
		verdict.RebootRequired = verdict.RebootRequired || result.RebootRequired
	}
	return verdict
}

// told joins what the items that succeeded have to say.
func (r *run) told() string {
	var messages []string
	for _, result := range r.results {
		if result.Message != "" {
			messages = append(messages, result.Message)
		}
	}
	return strings.Join(messages, "\n")
}

// failure turns what ended an item into the task's verdict, or passes on what
// is not the task's: that the agent stops, or cannot write its journal.
func (r *run) failure(ctx context.Context, item int, err error) (*protocol.Status, error) {
	if stopping := r.engine.stopping(); stopping != nil {
		return nil, stopping
	}
	var own journalError
	if errors.As(err, &own) && !errors.Is(err, journal.ErrStatusLimit) {
		return nil, own
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	verdict, surveyErr := r.blame(ctx, err)
	if surveyErr != nil {
		return nil, surveyErr
	}
	if verdict.Status == protocol.Failed {
		verdict.Item, verdict.Step = item, r.step
	}
	// Items that had succeeded still have something to say.
	if before := r.told(); before != "" {
		verdict.Message = shorten(before, max(protocol.MaxMessage-len(verdict.Message)-1, protocol.MaxMessage/4)) + "\n" + verdict.Message
	}
	for _, result := range r.results {
		verdict.RebootRequired = verdict.RebootRequired || result.RebootRequired
	}
	return verdict, nil
}

// blame finds the verdict for an error.
func (r *run) blame(ctx context.Context, err error) (*protocol.Status, error) {
	cause := context.Cause(ctx)
	var failed *executors.Failure
	own := errors.As(err, &failed)
	said := ""
	if own && (cause == nil || !errors.Is(err, cause)) {
		said = failed.Message + " "
	}
	stuck, _ := r.task.Stuck()
	switch {
	case stuck != nil:
		return r.failed(protocol.StepStuck, "Step %s did not end in time: still running, not killed. The host stays closed to exclusive work until it has ended; look at it there. %s", stuck.Step, r.done()), nil
	case errors.Is(err, journal.ErrStatusLimit):
		return r.failed(protocol.StatusLimit, "The task had more transitions than it may report; it was ended. %s", r.done()), nil
	case errors.Is(err, errExpired):
		return r.expired(), nil
	case errors.Is(err, executors.ErrDiverged):
		return r.lostTrack(protocol.ReplayDiverged, "After a restart of the agent the executor asked for other actions than those recorded (%v); nothing more was started. %s", err, r.done())
	case errors.Is(cause, executors.ErrCancelled):
		verdict := r.cancelled()
		verdict.Message = strings.TrimSpace(verdict.Message + " " + said)
		return verdict, nil
	case errors.Is(cause, executors.ErrDeadline):
		return r.failed(protocol.DeadlineExceeded, "The task ran out of time after %s. %s%s", r.task.Spent().Round(time.Second), said, r.done()), nil
	case own:
		return r.failed(cmp.Or(failed.Code, protocol.ExecutorFailed), "%s", failed.Message), nil
	case errors.Is(err, executors.ErrInterrupted):
		return r.failed(protocol.StepInterrupted, "%v%s. %s", err, r.restarted(), r.done()), nil
	}
	return r.failed(protocol.ExecutorFailed, "%v", err), nil
}

func (r *run) failed(code protocol.Code, format string, args ...any) *protocol.Status {
	return &protocol.Status{Status: protocol.Failed, Code: code, Message: fmt.Sprintf(format, args...)}
}

func (r *run) expired() *protocol.Status {
	return r.failed(protocol.TaskExpired, "The task expired at %s before its first action; nothing was started on this host.",
		time.UnixMilli(r.accept.ExpiresAt).UTC().Format(time.RFC3339))
}

func (r *run) cancelled() *protocol.Status {
	reason := "no reason was given"
	if c := r.task.Cancelled(); c != nil && c.Reason != "" {
		reason = c.Reason
	}
	return &protocol.Status{Status: protocol.Deleted, Code: protocol.TaskCancelled,
		Message: fmt.Sprintf("Cancelled (%s). %s", shorten(reason, protocol.MaxMessage/4), r.done())}
}

// lost is the verdict of a task of which it cannot be known what was done.
func (r *run) lost() (*protocol.Status, error) {
	here := r.engine.opts.Store.Installation().ID
	switch {
	case r.task.Damage() != nil:
		running := ""
		if stuck, _ := r.task.Stuck(); stuck != nil {
			running = fmt.Sprintf(" Step %s of it is still running; the host stays closed to exclusive work until it has ended.", stuck.Step)
		}
		return r.lostTrack(protocol.JournalDamaged, "The agent's record of this task is damaged (%v), so it cannot tell what was done; nothing more is started.%s", r.task.Damage(), running)
	case r.accept.Replaced == here:
		return r.lostTrack(protocol.JournalDamaged, "This agent had accepted the task before and its record of it is gone, so it cannot tell what was done; nothing was started now.")
	}
	return r.lostTrack(protocol.HostReplaced, "This task had been accepted by another installation of the agent (%s), whose state is gone; nothing was started by this one.", r.accept.Replaced)
}

// lostTrack adds to a verdict what the host looks like.
func (r *run) lostTrack(code protocol.Code, format string, args ...any) (*protocol.Status, error) {
	verdict := r.failed(code, format, args...)
	state := r.engine.survey()
	if err := r.engine.stopping(); err != nil {
		return nil, err
	}
	if state != "" {
		verdict.Message = shorten(verdict.Message, protocol.MaxMessage/2) + " The host now: " + state
	}
	return verdict, nil
}

// survey asks what state the host is in. "" if there is nobody to ask.
func (e *Engine) survey() string {
	if e.opts.Survey == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(e.life, 2*executors.QueryTimeout)
	defer cancel()
	result, err := guard(func() (executors.Result, error) {
		return e.opts.Survey.Execute(ctx, e.readonly(), nil)
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

// shorten cuts a text to n bytes, at a character's edge, and marks that it did.
func shorten(s string, n int) string {
	const mark = " [...]"
	if len(s) <= n {
		return s
	}
	cut := max(n-len(mark), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}
