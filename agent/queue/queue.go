// Package queue says when a task may run. It keeps nothing on disk: after a
// restart the engine enters the open tasks again, those first that had begun.
//
// An exclusive task has the host alone; shared ones run beside each other, up
// to a limit. Tasks start in the order they were entered. An exclusive task that
// waits keeps later ones back, so that it is not passed for ever, unless it may
// not start at all for now (hold, or a program that cannot be killed).
package queue

import (
	"context"
	"slices"
	"sync"
)

// MaxShared is how many shared tasks run at once.
const MaxShared = 8

// Queue orders the tasks of one host. The zero value is ready; all methods may
// be called concurrently.
type Queue struct {
	mu       sync.Mutex
	waiting  []*Ticket
	running  []*Ticket
	held     bool
	lifted   chan struct{} // closed when held ends; nil while it is not
	draining bool
	occupied int
}

// Ticket is a task's place.
type Ticket struct {
	queue     *Queue
	id        string
	exclusive bool
	resumed   bool
	granted   chan struct{}
}

// Enter takes a place. A resumed task had begun before the agent restarted: it
// goes before all that had not, and neither hold nor drain stops it.
func (q *Queue) Enter(id string, exclusive, resumed bool) *Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := &Ticket{queue: q, id: id, exclusive: exclusive, resumed: resumed, granted: make(chan struct{})}
	at := len(q.waiting)
	if resumed {
		if first := slices.IndexFunc(q.waiting, func(w *Ticket) bool { return !w.resumed }); first >= 0 {
			at = first
		}
	}
	q.waiting = slices.Insert(q.waiting, at, t)
	q.schedule()
	return t
}

// schedule starts what may start; q.mu is held.
func (q *Queue) schedule() {
	var still []*Ticket
	blocked := false
	for _, t := range q.waiting {
		switch {
		case q.parked(t):
			still = append(still, t)
		case !blocked && q.fits(t):
			q.running = append(q.running, t)
			close(t.granted)
		default:
			blocked = true
			still = append(still, t)
		}
	}
	q.waiting = still
}

// parked reports whether t may not start for now, whatever else runs.
func (q *Queue) parked(t *Ticket) bool {
	if t.resumed {
		return false
	}
	return q.draining || t.exclusive && (q.held || q.occupied > 0)
}

func (q *Queue) fits(t *Ticket) bool {
	if t.exclusive {
		return len(q.running) == 0
	}
	return !q.exclusive() && len(q.running) < MaxShared
}

func (q *Queue) exclusive() bool {
	return slices.ContainsFunc(q.running, func(t *Ticket) bool { return t.exclusive })
}

// Granted is closed when the task may run.
func (t *Ticket) Granted() <-chan struct{} { return t.granted }

// Wait returns nil when the task may run, or why ctx ended.
func (t *Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leave gives the place up, whether it was granted or not. It may be called
// more than once.
func (t *Ticket) Leave() {
	q := t.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := func(other *Ticket) bool { return other == t }
	q.waiting = slices.DeleteFunc(q.waiting, gone)
	q.running = slices.DeleteFunc(q.running, gone)
	q.schedule()
}

// Hold stops exclusive tasks from starting until it is lifted.
func (q *Queue) Hold(on bool) {
	q.set(func() {
		if q.held == on {
			return
		}
		q.held = on
		if on {
			q.lifted = make(chan struct{})
		} else {
			close(q.lifted)
		}
	})
}

// Released returns nil when the host is not held, or why ctx ended.
func (q *Queue) Released(ctx context.Context) error {
	q.mu.Lock()
	held, lifted := q.held, q.lifted
	q.mu.Unlock()
	if !held {
		return nil
	}
	select {
	case <-lifted:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Drain stops all tasks from starting until it is lifted.
func (q *Queue) Drain(on bool) { q.set(func() { q.draining = on }) }

// Occupy keeps exclusive tasks from starting while a program of an ended task
// still runs. Each call is undone by one call of Vacate.
func (q *Queue) Occupy() { q.set(func() { q.occupied++ }) }

// Vacate undoes one Occupy.
func (q *Queue) Vacate() { q.set(func() { q.occupied-- }) }

func (q *Queue) set(change func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	change()
	q.schedule()
}

// State is what an operator sees of the queue.
type State struct {
	Running   []string `json:"running"`
	Waiting   []string `json:"waiting"`
	Exclusive bool     `json:"exclusive"` // one task has the host alone
	Held      bool     `json:"held"`
	Draining  bool     `json:"draining"`
	Occupied  bool     `json:"occupied"` // a program that must not be killed is left over
}

// State describes the queue as it is now.
func (q *Queue) State() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := func(tickets []*Ticket) []string {
		out := make([]string, len(tickets))
		for i, t := range tickets {
			out[i] = t.id
		}
		return out
	}
	return State{
		Running: ids(q.running), Waiting: ids(q.waiting), Exclusive: q.exclusive(),
		Held: q.held, Draining: q.draining, Occupied: q.occupied > 0,
	}
}
