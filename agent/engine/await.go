package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

const (
	defaultGrace = 10 * time.Second
	killGrace    = 10 * time.Second // what hangs in the kernel longer is given up
	// signalAgain is the pause after a signal that found nobody: the program is
	// just about to start, or just ending.
	signalAgain = 100 * time.Millisecond
	// soon is how often a program is examined that may have to be given up: one that asks
	// in a loop prints megabytes in a second.
	soon = 100 * time.Millisecond
)

// ending is how the wait for a program ended.
type ending struct {
	exit step.Exit
	err  error
}

// await waits for an attempt's end and ends it when its time is over, as far as
// its kill policy allows.
func (h *host) await(ctx context.Context, cmd executors.Command, recorded journal.Attempt, gone <-chan struct{}) (journal.EndRecord, error) {
	a := h.run.attempt(recorded.StartRecord)
	end := journal.EndRecord{Item: h.item, Step: cmd.Step, Attempt: recorded.Attempt, Outcome: journal.Exited}
	ended := h.run.engine.watch(a, gone)
	stop, punched := newStopper(ctx, cmd, a), int64(0)
	defer stop.timer.Stop()
	watcher := h.eavesdrop(cmd, recorded.StartRecord)
	every := h.run.engine.opts.Look
	if cmd.GiveUp != nil {
		every = min(every, soon)
	}
	look := time.NewTicker(every)
	defer look.Stop()
	var touched time.Time
	hear := func() {
		if err := watcher.upTo(h.run.task.OutputSize(h.item)); err != nil {
			h.run.log.Sugar().Warnf("step %s: %v", cmd.Step, err)
		}
	}
	hearAll := func() {
		watcher.full = nil
		hear()
		watcher.full = cmd.GiveUp
	}
	for {
		select {
		case got := <-ended:
			end.To = h.run.task.OutputSize(h.item)
			if err := watcher.rest(end.To); err != nil {
				return end, fmt.Errorf("read its output: %w", err)
			}
			return h.ended(end, stop.reason, got, a)
		case <-look.C:
			hear()
			var err error
			if punched, err = h.run.task.TrimOutput(h.item, punched); err != nil {
				h.run.log.Sugar().Warn(err)
			}
			if now := time.Now(); now.Sub(touched) >= h.run.engine.opts.Look {
				touched = now
				h.run.engine.opts.Store.Touch(h.run.task)
			}
			if cmd.GiveUp == nil || !cmd.GiveUp() || len(ended) > 0 {
				continue
			}
			// What it printed last may say that it must not be cut.
			if hearAll(); !cmd.GiveUp() || !stop.giveUp() {
				continue
			}
		case <-stop.over:
			stop.over = nil
			if err := h.run.engine.stopping(); err != nil {
				return end, err
			}
			stop.hasten(context.Cause(ctx))
		case <-stop.timer.C:
			if stop.reason == journal.GivenUp && !stop.killed {
				// It may have gone on meanwhile, and do what must not be cut.
				if hearAll(); !cmd.GiveUp() {
					stop.withdraw(cmd.Kill)
					continue
				}
			}
			stop.timeUp()
		}
		if stop.err != nil {
			h.run.log.Sugar().Warnf("step %s: %v", cmd.Step, stop.err)
			stop.err = nil
		}
		if stop.stuck && len(ended) == 0 {
			end.Outcome, end.To = journal.Stuck, h.run.task.OutputSize(h.item)
			h.run.stuck = &stuckStep{attempt: a, end: end, ended: ended}
			return end, nil
		}
	}
}

// watch waits for a program's end as long as the agent lives. That one never
// began is written down, for which the reserve is there too.
func (e *Engine) watch(a step.Attempt, gone <-chan struct{}) <-chan ending {
	ended := make(chan ending, 1)
	e.wg.Go(func() {
		var exit step.Exit
		err := e.opts.Store.Write(func() (err error) {
			exit, err = a.Wait(e.life, gone)
			return err
		})
		ended <- ending{exit, err}
	})
	return ended
}

// ended makes the record of an end, given why it was hastened, if it was.
func (h *host) ended(end journal.EndRecord, hastened journal.Outcome, got ending, a step.Attempt) (journal.EndRecord, error) {
	end.Code, end.Signal, end.TookMS = got.exit.Code, got.exit.Signal, got.exit.TookMS
	if got.exit.OutOfMemory {
		h.Printf("[the kernel killed a program of this step because its memory ran out]\n")
	}
	switch {
	case errors.Is(got.err, step.ErrInterrupted):
		end.Outcome = journal.Interrupted
		started, err := step.ReadStarted(a.Dir)
		end.Restarted = err == nil && started.Boot != a.Boot
	case errors.Is(got.err, step.ErrAbandoned):
		if said := a.ShimLog(); said != "" {
			h.Printf("[the step did not start: %s]\n", said)
		}
		end.Outcome = journal.Abandoned
	case got.err != nil:
		return end, h.record(got.err)
	case got.exit.Error != "":
		h.Printf("%s\n", got.exit.Error)
	case hastened != "":
		end.Outcome = hastened
	}
	return end, nil
}

// stopper ends a program step by step: a polite signal, then a hard one, then
// giving up.
type stopper struct {
	cmd     executors.Command
	attempt step.Attempt
	ctx     context.Context
	over    <-chan struct{} // ctx ended; nil once that was noticed
	timer   *time.Timer     // of the program's time, then of what is to be done next
	since   time.Time       // when the first signal was sent
	killed  bool
	reason  journal.Outcome // why the program is ended, "" while it is not
	stuck   bool            // nothing more can be done
	err     error           // of a signal
}

func newStopper(ctx context.Context, cmd executors.Command, a step.Attempt) *stopper {
	s := &stopper{cmd: cmd, attempt: a, ctx: ctx, over: ctx.Done()}
	s.timer = time.NewTimer(s.left())
	return s
}

// left is the time that the program has, by its own timeout and by the task's.
func (s *stopper) left() time.Duration {
	left := time.Duration(math.MaxInt64)
	if s.cmd.Timeout > 0 {
		used, _ := s.attempt.RunningFor()
		left = s.cmd.Timeout - used
	}
	if deadline, ok := s.ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	return max(left, 0)
}

// hasten begins to end a program whose context ended. A cancel waits for a
// program that must not be killed, as long as it has time.
func (s *stopper) hasten(cause error) {
	switch {
	case s.reason != "" || s.stuck:
	case !errors.Is(cause, executors.ErrCancelled):
		s.begin(journal.TimedOut)
	case s.cmd.Kill != executors.KillNever:
		s.begin(journal.Cancelled)
	}
}

// giveUp begins to end a program that can come to no good end, whatever its kill policy;
// false if it is being ended already.
func (s *stopper) giveUp() bool {
	if s.reason != "" || s.stuck {
		return false
	}
	s.cmd.Kill = executors.KillTree
	s.begin(journal.GivenUp)
	return true
}

// withdraw takes giving up back: the program lives and has the time that it had.
func (s *stopper) withdraw(kill executors.Kill) {
	s.cmd.Kill, s.reason = kill, ""
	s.timer.Reset(s.left())
	if s.ctx.Err() != nil {
		s.hasten(context.Cause(s.ctx))
	}
}

// timeUp does what is due next.
func (s *stopper) timeUp() {
	patient := time.Since(s.since) < s.grace()
	switch {
	case s.reason == "":
		s.begin(journal.TimedOut)
	case s.killed || !patient && s.cmd.Kill == executors.KillTermOnly:
		s.stuck = true
	case patient:
		s.terminate()
	default:
		s.killed = true
		s.err = s.attempt.KillAll()
		s.timer.Reset(killGrace)
	}
}

func (s *stopper) begin(reason journal.Outcome) {
	if s.cmd.Kill == executors.KillNever {
		s.stuck = true
		return
	}
	s.reason, s.since = reason, time.Now()
	s.terminate()
}

func (s *stopper) terminate() {
	var reached int
	reached, s.err = s.attempt.Signal(unix.SIGTERM)
	next := s.grace() - time.Since(s.since)
	if reached == 0 && s.err == nil {
		next = min(next, signalAgain)
	}
	s.timer.Reset(max(next, 0))
}

func (s *stopper) grace() time.Duration {
	if s.cmd.Grace <= 0 {
		return defaultGrace
	}
	return s.cmd.Grace
}
