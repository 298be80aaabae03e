package queue

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// entry is a task as the model knows it.
type entry struct {
	ticket             *Ticket
	exclusive, resumed bool
	seen               bool // it was seen running
	left               bool
}

type machine struct {
	queue          Queue
	entries        []*entry
	held, draining bool
	occupied       int
}

// The rules of the queue, whatever happens in whatever order: who is exclusive
// is alone, nobody is passed but by those who had begun or may pass, and whoever
// could run does.
func TestTheRulesHoldThroughAnySequence(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &machine{}
		r.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"enter":  m.enter,
			"leave":  m.leave,
			"hold":   func(*rapid.T) { m.held = !m.held; m.queue.Hold(m.held) },
			"drain":  func(*rapid.T) { m.draining = !m.draining; m.queue.Drain(m.draining) },
			"occupy": func(*rapid.T) { m.occupied++; m.queue.Occupy() },
			"vacate": func(r *rapid.T) {
				if m.occupied == 0 {
					r.Skip("nothing is left over")
				}
				m.occupied--
				m.queue.Vacate()
			},
		})
	})
}

func (m *machine) enter(r *rapid.T) {
	e := &entry{exclusive: rapid.Bool().Draw(r, "exclusive"), resumed: rapid.IntRange(0, 3).Draw(r, "resumed") == 0}
	e.ticket = m.queue.Enter(fmt.Sprint("task-", len(m.entries)), e.exclusive, e.resumed)
	m.entries = append(m.entries, e)
}

func (m *machine) leave(r *rapid.T) {
	if len(m.entries) == 0 {
		r.Skip("nobody is there")
	}
	e := rapid.SampledFrom(m.entries).Draw(r, "who")
	e.ticket.Leave()
	e.left = true
}

func (m *machine) mayStart(e *entry) bool {
	return e.resumed || !m.draining && (!e.exclusive || !m.held && m.occupied == 0)
}

func (m *machine) check(r *rapid.T) {
	var running, waiting []*entry
	for _, e := range m.entries {
		switch {
		case e.left:
		case granted(e.ticket):
			running = append(running, e)
		default:
			waiting = append(waiting, e)
		}
	}
	exclusive := slices.ContainsFunc(running, func(e *entry) bool { return e.exclusive })
	if exclusive && len(running) > 1 || len(running) > MaxShared {
		r.Fatalf("%d run, one of them exclusive: %v", len(running), exclusive)
	}
	room := func(e *entry) bool {
		return len(running) == 0 || !e.exclusive && !exclusive && len(running) < MaxShared
	}
	// Those who had begun come first; within either kind it is order of arrival.
	slices.SortStableFunc(waiting, func(a, b *entry) int {
		switch {
		case a.resumed == b.resumed:
			return 0
		case a.resumed:
			return -1
		}
		return 1
	})
	for _, e := range waiting {
		if !m.mayStart(e) {
			continue // and does not keep others back
		}
		if room(e) {
			r.Fatalf("%s could run and waits", e.ticket.id)
		}
		break // the first that may keeps later ones back
	}
	for _, e := range running {
		if e.seen {
			continue
		}
		e.seen = true
		for _, w := range waiting {
			earlier := w.ticket != e.ticket && m.before(w, e)
			if earlier && m.mayStart(w) {
				r.Fatalf("%s passed %s", e.ticket.id, w.ticket.id)
			}
		}
	}
	m.compare(r, running, waiting)
}

func (m *machine) before(a, b *entry) bool {
	if a.resumed != b.resumed {
		return a.resumed
	}
	return slices.Index(m.entries, a) < slices.Index(m.entries, b)
}

func (m *machine) compare(r *rapid.T, running, waiting []*entry) {
	state := m.queue.State()
	ids := func(entries []*entry) []string {
		out := []string{}
		for _, e := range entries {
			out = append(out, e.ticket.id)
		}
		return out
	}
	slices.Sort(state.Running)
	want := ids(running)
	slices.Sort(want)
	if !slices.Equal(state.Running, want) || !slices.Equal(state.Waiting, ids(waiting)) {
		r.Fatalf("state is %+v, want running %v, waiting %v", state, want, ids(waiting))
	}
	if state.Held != m.held || state.Draining != m.draining || state.Occupied != (m.occupied > 0) {
		r.Fatalf("state is %+v, want held %v, draining %v, occupied %d", state, m.held, m.draining, m.occupied)
	}
}
