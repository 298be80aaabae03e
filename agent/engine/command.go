package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

// maxAttempts bounds the attempts at one step, those included that never
// started.
const maxAttempts = 8

// Command implements executors.Host.
func (h *host) Command(ctx context.Context, cmd executors.Command) (executors.Exit, error) {
	if h.fault != nil {
		return executors.Exit{}, h.fault
	}
	exit, err := h.command(ctx, cmd)
	if err == nil {
		return exit, nil
	}
	err = fmt.Errorf("step %.80s: %w", cmd.Step, err)
	for _, final := range []error{executors.ErrDiverged, executors.ErrStuck, errExpired} {
		if errors.Is(err, final) {
			h.fault = err
		}
	}
	return exit, err
}

func (h *host) command(ctx context.Context, cmd executors.Command) (executors.Exit, error) {
	if err := h.check(cmd); err != nil {
		return executors.Exit{}, err
	}
	attempt, err := h.recorded(cmd)
	if err != nil {
		return executors.Exit{}, err
	}
	h.asked[cmd.Step]++
	h.run.step = cmd.Step
	return h.carryOut(ctx, cmd, attempt)
}

// carryOut answers from a recorded attempt, waits for one that runs, or starts
// the next one.
func (h *host) carryOut(ctx context.Context, cmd executors.Command, attempt *journal.Attempt) (executors.Exit, error) {
	if attempt != nil && attempt.End != nil {
		if err := h.eavesdrop(cmd, attempt.StartRecord).rest(attempt.End.To); err != nil {
			return executors.Exit{}, fmt.Errorf("read its output: %w", err)
		}
		return h.answer(*attempt.End)
	}
	var gone <-chan struct{}
	var err error
	begins := "a step of a former agent is waited for"
	if attempt == nil {
		begins = "a step begins"
		if attempt, gone, err = h.start(ctx, cmd); err != nil {
			return executors.Exit{}, err
		}
	}
	log := h.run.log.With(zap.Int("item", h.item), zap.String("step", cmd.Step), zap.Int("attempt", attempt.Attempt))
	log.Info(begins, zap.String("program", cmd.Argv[0]))
	end, err := h.await(ctx, cmd, *attempt, gone)
	if err != nil {
		return executors.Exit{}, err
	}
	log.Info("a step ended", zap.String("outcome", string(end.Outcome)), zap.Int("code", end.Code), zap.Duration("took", time.Duration(end.TookMS)*time.Millisecond))
	failpoint.Hit(failpoint.StepEnded)
	if end.Outcome == journal.Interrupted {
		// Before the record: on a full disk it needs the space that they take.
		if err := step.DiscardTemp(h.run.attempt(attempt.StartRecord).Dir); err != nil {
			log.Warn("deleting temporary files failed; they are kept until the task is closed", zap.Error(err))
		}
	}
	if err := h.record(h.run.task.PutEnd(end)); err != nil {
		return executors.Exit{}, err
	}
	h.run.engine.opts.Store.Touch(h.run.task)
	if end.Outcome == journal.Abandoned {
		return h.carryOut(ctx, cmd, nil)
	}
	return h.answer(end)
}

func (h *host) check(cmd executors.Command) error {
	switch {
	case !namePattern.MatchString(cmd.Step):
		return errors.New("its name is not letters, digits and hyphens")
	case len(cmd.Argv) == 0:
		return errors.New("it has no program")
	case h.verifying != strings.HasPrefix(cmd.Step, executors.VerifyPrefix):
		return fmt.Errorf("%w: steps of Verify, and no others, have names that begin with %s", executors.ErrDiverged, executors.VerifyPrefix)
	}
	return nil
}

// recorded finds the attempt that this call answers from, or nil for one that
// is to be started. It refuses whatever a faithful replay would not ask.
func (h *host) recorded(cmd executors.Command) (*journal.Attempt, error) {
	attempts := visible(h.run.task.Attempts(h.item, cmd.Step))
	n := h.asked[cmd.Step]
	if len(attempts) > 0 && !slices.Equal(attempts[0].Argv, cmd.Argv) {
		return nil, fmt.Errorf("%w: it was started as %.500q and is asked for as %.500q", executors.ErrDiverged, attempts[0].Argv, cmd.Argv)
	}
	if n < len(attempts) {
		return &attempts[n], nil
	}
	if n > 0 && attempts[n-1].End != nil && attempts[n-1].End.Outcome != journal.Interrupted {
		return nil, fmt.Errorf("%w: it ended and is asked for again", executors.ErrDiverged)
	}
	return nil, h.leftOver(cmd.Step)
}

// start records a new attempt and starts its shim.
func (h *host) start(ctx context.Context, cmd executors.Command) (*journal.Attempt, <-chan struct{}, error) {
	if err := h.mayStart(ctx); err != nil {
		return nil, nil, err
	}
	if err := h.awaitReady(ctx); err != nil {
		return nil, nil, err
	}
	task, opts := h.run.task, h.run.engine.opts
	path, err := opts.Tools.Find(cmd.Argv[0])
	if err != nil {
		return nil, nil, err
	}
	all := task.Attempts(h.item, cmd.Step)
	if len(all) >= maxAttempts {
		return nil, nil, fmt.Errorf("was begun %d times and never came to its end", len(all))
	}
	start := journal.StartRecord{
		Item: h.item, Step: cmd.Step, Attempt: len(all) + 1, Argv: cmd.Argv, From: task.OutputSize(h.item),
		Dir:     filepath.Join("steps", fmt.Sprint(h.item), fmt.Sprintf("%02d-%s", len(all)+1, cmd.Step)),
		Program: path, SHA256: cmd.SHA256,
	}
	if start.SHA256 == "" {
		start.SHA256 = h.run.engine.digests.Of(path)
	}
	if err := h.record(task.PutStart(start)); err != nil {
		return nil, nil, err
	}
	a := h.run.attempt(start)
	spec := step.Spec{
		Argv: append([]string{path}, cmd.Argv[1:]...), Env: append(opts.Tools.Environ(), cmd.Env...),
		Input: cmd.Input, Dir: cmd.Dir, Temp: cmd.Temp, Output: task.OutputPath(h.item), Boot: opts.Boot, Kill: cmd.Kill,
	}
	if cmd.Kill != executors.KillNever {
		spec.Limits = opts.Limits
	}
	if err := h.record(opts.Store.Write(func() error { return step.Prepare(a.Dir, spec) })); err != nil {
		return nil, nil, err
	}
	failpoint.Hit(failpoint.StepPrepared)
	var gone <-chan struct{}
	err = opts.Store.Write(func() (err error) {
		gone, err = opts.Surroundings.Start(a.Dir, spec)
		return err
	})
	switch {
	case errors.Is(err, journal.ErrDiskFull):
		return nil, nil, h.record(err)
	case errors.Is(err, step.ErrUnreachable):
		if err := h.abandon(start, a); err != nil {
			return nil, nil, err
		}
		return h.start(ctx, cmd)
	case err != nil:
		return nil, nil, errors.Join(err, h.abandon(start, a))
	}
	failpoint.Hit(failpoint.StepStarted)
	return &journal.Attempt{StartRecord: start}, gone, nil
}

// awaitReady waits until a step can be started on the host.
func (h *host) awaitReady(ctx context.Context) error {
	retry := h.run.engine.opts.Retry
	for {
		err := h.run.engine.opts.Surroundings.Ready(ctx)
		if err == nil || ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h.run.log.Warn("a step waits; it is tried again", zap.Duration("in", retry), zap.Error(err))
		h.Progress(0, fmt.Sprintf("Step %s waits to be started: %v.", h.run.step, err))
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// mayStart refuses what the task may not begin any more. An executor that has
// to bring to its end what it began asks with a context that is not cancelled.
func (h *host) mayStart(ctx context.Context) error {
	if err := h.run.engine.stopping(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !h.run.acted() && h.run.engine.opts.Now().UnixMilli() >= h.run.accept.ExpiresAt {
		return errExpired
	}
	return nil
}

// abandon closes an attempt whose shim could not be started.
func (h *host) abandon(start journal.StartRecord, a step.Attempt) error {
	err := h.run.engine.opts.Store.Write(func() error {
		_, _, err := a.Look()
		return err
	})
	if !errors.Is(err, step.ErrAbandoned) {
		return h.record(err)
	}
	return h.record(h.run.task.PutEnd(journal.EndRecord{
		Item: start.Item, Step: start.Step, Attempt: start.Attempt, Outcome: journal.Abandoned,
	}))
}

// answer is what the executor gets for a recorded end. Attempts that never
// started are not counted.
func (h *host) answer(end journal.EndRecord) (executors.Exit, error) {
	attempts := visible(h.run.task.Attempts(end.Item, end.Step))
	nth := 1 + slices.IndexFunc(attempts, func(a journal.Attempt) bool { return a.Attempt == end.Attempt })
	exit := executors.Exit{Code: end.Code, Signal: end.Signal, Attempt: nth, Took: time.Duration(end.TookMS) * time.Millisecond}
	if nth > 0 {
		exit.Began = time.UnixMilli(attempts[nth-1].At)
	}
	switch end.Outcome {
	case journal.TimedOut:
		return exit, executors.ErrTimeout
	case journal.Cancelled:
		return exit, executors.ErrCancelled
	case journal.GivenUp:
		return exit, executors.ErrGivenUp
	case journal.Interrupted:
		return exit, executors.ErrInterrupted
	case journal.Stuck:
		return exit, executors.ErrStuck
	}
	return exit, nil
}
