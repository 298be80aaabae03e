package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

const (
	defaultGrace = 10 * time.Second
	trimEvery    = time.Second
	// maxAttempts bounds the attempts at one step, those included that never
	// started.
	maxAttempts = 8
)

// Command implements executors.Host.
func (h *host) Command(ctx context.Context, cmd executors.Command) (executors.Exit, error) {
	if err := h.check(cmd); err != nil {
		return executors.Exit{}, fmt.Errorf("step %.80s: %w", cmd.Step, err)
	}
	attempt, err := h.recorded(cmd)
	if err != nil {
		return executors.Exit{}, fmt.Errorf("step %s: %w", cmd.Step, err)
	}
	h.asked[cmd.Step]++
	exit, err := h.carryOut(ctx, cmd, attempt)
	if err != nil {
		return exit, fmt.Errorf("step %s: %w", cmd.Step, err)
	}
	return exit, nil
}

func (h *host) carryOut(ctx context.Context, cmd executors.Command, attempt *journal.Attempt) (executors.Exit, error) {
	if attempt != nil && attempt.End != nil {
		return answer(*attempt.End)
	}
	var gone <-chan struct{}
	var err error
	if attempt == nil {
		if attempt, gone, err = h.start(ctx, cmd); err != nil {
			return executors.Exit{}, err
		}
	}
	end, err := h.await(ctx, cmd, *attempt, gone)
	if err != nil {
		return executors.Exit{}, err
	}
	failpoint.Hit(failpoint.StepEnded)
	if err := h.record(h.run.task.PutEnd(end)); err != nil {
		return executors.Exit{}, err
	}
	h.run.engine.opts.Store.Touch(h.run.task)
	if end.Outcome == journal.Abandoned {
		return h.carryOut(ctx, cmd, nil)
	}
	return answer(end)
}

func (h *host) check(cmd executors.Command) error {
	switch {
	case !namePattern.MatchString(cmd.Step):
		return errors.New("its name is not letters, digits and hyphens")
	case len(cmd.Argv) == 0:
		return errors.New("it has no program")
	case h.verifying:
		return fmt.Errorf("%w: a command in Verify", executors.ErrDiverged)
	}
	return nil
}

// recorded finds the attempt that this call answers from, or nil for one that
// is to be started. It refuses whatever a faithful replay would not ask.
func (h *host) recorded(cmd executors.Command) (*journal.Attempt, error) {
	attempts := visible(h.run.task.Attempts(h.item, cmd.Step))
	n := h.asked[cmd.Step]
	if n < len(attempts) {
		if !slices.Equal(attempts[n].Argv, cmd.Argv) {
			return nil, fmt.Errorf("%w: it was started as %q and is asked for as %q", executors.ErrDiverged, attempts[n].Argv, cmd.Argv)
		}
		return &attempts[n], nil
	}
	if n > 0 && attempts[n-1].End != nil && attempts[n-1].End.Outcome != journal.Interrupted {
		return nil, fmt.Errorf("%w: it ended and is asked for again", executors.ErrDiverged)
	}
	return nil, h.leftOver()
}

// start records a new attempt and starts its shim.
func (h *host) start(ctx context.Context, cmd executors.Command) (*journal.Attempt, <-chan struct{}, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	task, opts := h.run.task, h.run.engine.opts
	if len(task.Starts()) == 0 && time.Now().UnixMilli() >= h.run.accept.ExpiresAt {
		return nil, nil, errExpired
	}
	path, err := opts.Tools.Find(cmd.Argv[0])
	if err != nil {
		return nil, nil, err
	}
	all := task.Attempts(h.item, cmd.Step)
	if len(all) >= maxAttempts {
		return nil, nil, fmt.Errorf("was begun %d times and never started", len(all))
	}
	start := journal.StartRecord{
		Item: h.item, Step: cmd.Step, Attempt: len(all) + 1, Argv: cmd.Argv,
		Dir: filepath.Join("steps", fmt.Sprint(h.item), fmt.Sprintf("%02d-%s", len(all)+1, cmd.Step)),
	}
	if err := h.record(task.PutStart(start)); err != nil {
		return nil, nil, err
	}
	a := h.attempt(start)
	spec := step.Spec{
		Argv: append([]string{path}, cmd.Argv[1:]...), Env: opts.Tools.Environ(),
		Output: task.OutputPath(h.item), Boot: opts.Boot, Kill: cmd.Kill,
	}
	if err := h.record(opts.Store.Write(func() error { return step.Prepare(a.Dir, spec) })); err != nil {
		return nil, nil, err
	}
	failpoint.Hit(failpoint.StepPrepared)
	gone, err := opts.Surroundings.Start(a.Dir, cmd.Kill)
	if err != nil {
		return nil, nil, errors.Join(err, h.abandon(start, a))
	}
	failpoint.Hit(failpoint.StepStarted)
	return &journal.Attempt{StartRecord: start}, gone, nil
}

func (h *host) attempt(start journal.StartRecord) step.Attempt {
	return step.Attempt{Dir: filepath.Join(h.run.task.Dir(), start.Dir), Boot: h.run.engine.opts.Boot}
}

// abandon closes an attempt whose shim could not be started.
func (h *host) abandon(start journal.StartRecord, a step.Attempt) error {
	if _, _, err := a.Look(); !errors.Is(err, step.ErrAbandoned) {
		return err
	}
	return h.record(h.run.task.PutEnd(journal.EndRecord{
		Item: start.Item, Step: start.Step, Attempt: start.Attempt, Outcome: journal.Abandoned,
	}))
}

// answer is what the executor is told of a recorded end.
func answer(end journal.EndRecord) (executors.Exit, error) {
	exit := executors.Exit{Code: end.Code, Signal: end.Signal, Attempt: end.Attempt, Took: time.Duration(end.TookMS) * time.Millisecond}
	switch end.Outcome {
	case journal.TimedOut:
		return exit, executors.ErrTimeout
	case journal.Cancelled:
		return exit, executors.ErrCancelled
	case journal.Interrupted:
		return exit, executors.ErrInterrupted
	case journal.Stuck:
		return exit, executors.ErrStuck
	}
	return exit, nil
}

// ending is what await knows of the program it waits for.
type ending struct {
	exit step.Exit
	err  error
}

// await waits for an attempt's end and ends it when its time is over, as far as
// its kill policy allows.
func (h *host) await(ctx context.Context, cmd executors.Command, recorded journal.Attempt, gone <-chan struct{}) (journal.EndRecord, error) {
	a := h.attempt(recorded.StartRecord)
	end := journal.EndRecord{Item: h.item, Step: cmd.Step, Attempt: recorded.Attempt, Outcome: journal.Exited}
	life := h.run.engine.life
	ended := make(chan ending, 1)
	go func() {
		exit, err := a.Wait(life, gone)
		ended <- ending{exit, err}
	}()
	stop, punched := newStopper(ctx, cmd, a), int64(0)
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	defer stop.close()
	for {
		select {
		case got := <-ended:
			return h.ended(end, stop.outcome, got, a)
		case <-trim.C:
			var err error
			if punched, err = h.run.task.TrimOutput(h.item, punched); err != nil {
				h.run.log.Sugar().Warn(err)
			}
			h.run.engine.opts.Store.Touch(h.run.task)
		case <-stop.due:
			if len(ended) > 0 {
				continue // it ended just in time
			}
			if err := stop.next(); err != nil {
				return end, err
			}
			if stop.outcome == journal.Stuck {
				end.Outcome = journal.Stuck
				h.run.stuck = &stuckStep{attempt: a, end: end, ended: ended}
				return end, nil
			}
		}
	}
}

// ended makes the record of an end, given why it was hastened, if it was.
func (h *host) ended(end journal.EndRecord, hastened journal.Outcome, got ending, a step.Attempt) (journal.EndRecord, error) {
	end.Code, end.Signal, end.TookMS = got.exit.Code, got.exit.Signal, got.exit.TookMS
	switch {
	case errors.Is(got.err, executors.ErrStopping):
		return end, got.err
	case errors.Is(got.err, step.ErrInterrupted):
		end.Outcome = journal.Interrupted
	case errors.Is(got.err, step.ErrAbandoned):
		if said := a.ShimLog(); said != "" {
			h.Printf("[the step did not start: %s]\n", said)
		}
		end.Outcome = journal.Abandoned
	case got.err != nil:
		return end, got.err
	case got.exit.Error != "":
		h.Printf("%s\n", got.exit.Error)
	case hastened != "":
		end.Outcome = hastened
	}
	return end, nil
}

// stopper ends a program step by step: a polite signal, then a hard one, then
// giving up. due fires when the next is to be done.
type stopper struct {
	cmd     executors.Command
	attempt step.Attempt
	ctx     context.Context
	due     chan struct{}
	timer   *time.Timer
	stop    func() bool
	tried   int
	outcome journal.Outcome // why the program is ended, "" while it is not
}

func newStopper(ctx context.Context, cmd executors.Command, a step.Attempt) *stopper {
	s := &stopper{cmd: cmd, attempt: a, ctx: ctx, due: make(chan struct{}, 1)}
	s.timer = time.AfterFunc(s.left(), s.fire)
	s.stop = context.AfterFunc(ctx, s.fire)
	return s
}

// left is the step's own time that is left.
func (s *stopper) left() time.Duration {
	if s.cmd.Timeout <= 0 {
		return 1<<63 - 1
	}
	used, _ := s.attempt.RunningFor()
	return s.cmd.Timeout - used
}

func (s *stopper) fire() {
	select {
	case s.due <- struct{}{}:
	default: // it is due already
	}
}

func (s *stopper) close() {
	s.timer.Stop()
	s.stop()
}

// next does what is due. After it, outcome Stuck means that nothing more can be
// done.
func (s *stopper) next() error {
	cause := context.Cause(s.ctx)
	if errors.Is(cause, executors.ErrStopping) {
		return cause
	}
	cancelled := errors.Is(cause, executors.ErrCancelled)
	if s.cmd.Kill == executors.KillNever {
		if !cancelled || s.left() <= 0 {
			s.outcome = journal.Stuck
		}
		return nil // a cancel is obeyed when it has ended
	}
	if s.outcome == "" {
		s.outcome = journal.TimedOut
		if cancelled {
			s.outcome = journal.Cancelled
		}
	}
	return s.signal()
}

func (s *stopper) signal() error {
	grace := s.cmd.Grace
	if grace <= 0 {
		grace = defaultGrace
	}
	s.tried++
	switch {
	case s.tried == 1:
		s.timer.Reset(grace)
		_, err := s.attempt.Signal(unix.SIGTERM)
		return err
	case s.tried == 2 && s.cmd.Kill != executors.KillTermOnly:
		s.timer.Reset(defaultGrace)
		return s.attempt.KillAll()
	}
	s.outcome = journal.Stuck
	return nil
}
