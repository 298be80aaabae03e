package engine

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// stuckStep is a program that outlives its task's verdict.
type stuckStep struct {
	attempt step.Attempt
	end     journal.EndRecord
	ended   <-chan ending // nil: not waited for yet
	closed  bool          // the host is closed to exclusive work for it
}

// findStuck finds what the task's verdict left running before a restart of the
// agent, and closes the host at once: whoever is submitted next must not get it.
func (r *run) findStuck() {
	end, dir := r.task.Stuck()
	if end == nil {
		return
	}
	r.stuck = &stuckStep{
		attempt: step.Attempt{Dir: filepath.Join(r.task.Dir(), dir), Boot: r.engine.opts.Boot},
		end:     *end, closed: true,
	}
	r.engine.opts.Queue.Occupy()
}

// awaitStuck keeps the host closed to exclusive work until the program that the
// task left running is gone, also after a restart of the agent.
func (r *run) awaitStuck() error {
	if r.stuck == nil {
		r.findStuck()
	}
	stuck := r.stuck
	if stuck == nil {
		return nil
	}
	if !stuck.closed {
		r.engine.opts.Queue.Occupy()
	}
	defer r.engine.opts.Queue.Vacate()
	if r.ticket != nil {
		r.ticket.Leave() // shared work may go on
	}
	if stuck.ended == nil {
		stuck.ended = r.engine.watch(stuck.attempt, nil)
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

// settle brings to an end, as their kill policies allow, the programs that the
// executor did not wait for: a replay may fail, diverge or be cancelled before
// it comes to the step that runs. No verdict leaves a program running that
// nobody knows of.
func (r *run) settle(ctx context.Context) error {
	for _, start := range r.task.Starts() {
		for _, a := range r.task.Attempts(start.Item, start.Step) {
			if a.End != nil || a.Attempt != start.Attempt {
				continue
			}
			h := &host{run: r, item: start.Item}
			end, err := h.await(ctx, executors.Command{Step: start.Step, Kill: r.killOf(start)}, a, nil)
			if err != nil {
				return err
			}
			if err := r.task.PutEnd(end); err != nil {
				return err
			}
		}
	}
	return nil
}

// killOf is what may be done to an attempt's program. Without its spec nobody
// knows, and it is left alone.
func (r *run) killOf(start journal.StartRecord) executors.Kill {
	spec, err := step.ReadSpec(r.attempt(start).Dir)
	if err != nil {
		return executors.KillNever
	}
	return spec.Kill
}

func (r *run) attempt(start journal.StartRecord) step.Attempt {
	return step.Attempt{Dir: filepath.Join(r.task.Dir(), start.Dir), Boot: r.engine.opts.Boot}
}

// adopt finds the program that a damaged log may not know of any more and
// records it as left running.
func (r *run) adopt() error {
	dirs, err := filepath.Glob(filepath.Join(r.task.Dir(), "steps", "*", "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		start, ok := startOf(dir)
		if !ok {
			continue
		}
		known := slices.ContainsFunc(r.task.Attempts(start.Item, start.Step), func(a journal.Attempt) bool { return a.Attempt == start.Attempt })
		if _, running, _ := r.attempt(start).Look(); !running {
			continue
		}
		if !known {
			if err := r.task.PutStart(start); err != nil {
				return err
			}
		}
		if err := r.task.PutEnd(journal.EndRecord{Item: start.Item, Step: start.Step, Attempt: start.Attempt, Outcome: journal.Stuck}); err != nil {
			return err
		}
	}
	return nil
}

var attemptFolder = regexp.MustCompile(`^([0-9]{2,9})-([A-Za-z0-9-]{1,64})$`)

// startOf reads from the name of an attempt's folder what it is an attempt at.
func startOf(dir string) (journal.StartRecord, bool) {
	name := attemptFolder.FindStringSubmatch(filepath.Base(dir))
	parent := filepath.Base(filepath.Dir(dir))
	item, err := strconv.Atoi(parent)
	if name == nil || err != nil {
		return journal.StartRecord{}, false
	}
	nth, err := strconv.Atoi(name[1])
	return journal.StartRecord{Item: item, Step: name[2], Attempt: nth, Dir: filepath.Join("steps", parent, name[0])}, err == nil
}

// giveUp is the way to the verdict of a task of which it cannot be known what
// was done. Nothing is started for it.
func (r *run) giveUp() (*protocol.Status, error) {
	if r.task.Damage() != nil {
		if err := r.adopt(); err != nil {
			return nil, err
		}
	}
	if err := r.ticket.Wait(r.engine.life); err != nil {
		return nil, err
	}
	return r.lost()
}
