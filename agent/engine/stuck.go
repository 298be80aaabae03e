package engine

import (
	"context"
	"errors"
	"path/filepath"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

// stuckStep is a program that outlives its task's verdict.
type stuckStep struct {
	attempt step.Attempt
	end     journal.EndRecord
	ended   <-chan ending
}

// awaitStuck keeps the host closed to exclusive work until the program that the
// task left running is gone, also after a restart of the agent.
func (r *run) awaitStuck(ctx context.Context) error {
	stuck := r.stuck
	if stuck == nil {
		if stuck = r.findStuck(); stuck == nil {
			return nil
		}
		waited := make(chan ending, 1)
		stuck.ended = waited
		go func() {
			exit, err := stuck.attempt.Wait(r.engine.life, nil)
			waited <- ending{exit, err}
		}()
	}
	r.engine.opts.Queue.Occupy()
	defer r.engine.opts.Queue.Vacate()
	if r.ticket != nil {
		r.ticket.Leave() // shared work may go on
	}
	got := <-stuck.ended
	if errors.Is(got.err, executors.ErrStopping) {
		return got.err
	}
	end := stuck.end
	end.Outcome, end.Code, end.Signal, end.TookMS = journal.Exited, got.exit.Code, got.exit.Signal, got.exit.TookMS
	if got.err != nil {
		end.Outcome = journal.Interrupted
	}
	r.log.Sugar().Infof("step %s, which was stuck, has ended; the host is open again", end.Step)
	if err := r.task.PutEnd(end); err != nil {
		return err
	}
	r.engine.opts.Store.Touch(r.task)
	return nil
}

func (r *run) findStuck() *stuckStep {
	end, dir := r.task.Stuck()
	if end == nil {
		return nil
	}
	return &stuckStep{
		attempt: step.Attempt{Dir: filepath.Join(r.task.Dir(), dir), Boot: r.engine.opts.Boot},
		end:     *end,
	}
}
