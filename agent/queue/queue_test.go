package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func granted(t *Ticket) bool {
	select {
	case <-t.Granted():
		return true
	default:
		return false
	}
}

func TestWhoMayRun(t *testing.T) {
	// enter is a task: x exclusive, s shared; capital letters had begun before.
	enter := func(q *Queue, kinds string) {
		for i, kind := range kinds {
			q.Enter(fmt.Sprintf("%c%d", kind, i), kind == 'x' || kind == 'X', kind == 'X' || kind == 'S')
		}
	}
	for _, c := range []struct {
		name             string
		change           func(*Queue)
		kinds            string
		running, waiting []string
	}{
		{"shared ones run beside each other", nil, "sss", []string{"s0", "s1", "s2"}, nil},
		{"up to a limit", nil, "sssssssss", []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"}, []string{"s8"}},
		{"an exclusive one has the host alone", nil, "xsx", []string{"x0"}, []string{"s1", "x2"}},
		{"an exclusive one that waits is not passed", nil, "sxs", []string{"s0"}, []string{"x1", "s2"}},
		{"held exclusive ones are passed", func(q *Queue) { q.Hold(true) }, "xsxs", []string{"s1", "s3"}, []string{"x0", "x2"}},
		{"so they are while a program is left over", func(q *Queue) { q.Occupy() }, "xs", []string{"s1"}, []string{"x0"}},
		{"nothing starts while draining", func(q *Queue) { q.Drain(true) }, "sx", nil, []string{"s0", "x1"}},
		{"what had begun goes first", func(q *Queue) { q.Drain(true) }, "sxS", []string{"S2"}, []string{"s0", "x1"}},
		{"what had begun stops for nothing", func(q *Queue) { q.Hold(true); q.Drain(true) }, "sX", []string{"X1"}, []string{"s0"}},
		{"who had the host gets it back before all others", nil, "XsS", []string{"X0"}, []string{"S2", "s1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q Queue
			if c.change != nil {
				c.change(&q)
			}
			enter(&q, c.kinds)
			got := q.State()
			if diff := cmp.Diff([][]string{c.running, c.waiting}, [][]string{got.Running, got.Waiting}, equateEmpty); diff != "" {
				t.Errorf("running, waiting (-want +got):\n%s", diff)
			}
		})
	}
}

var equateEmpty = cmp.Transformer("empty", func(ids []string) []string {
	if len(ids) == 0 {
		return nil
	}
	return append([]string(nil), ids...)
})

func TestWaitEndsWithTheGrantOrTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q Queue
		first, second := q.Enter("first", true, false), q.Enter("second", true, false)
		if err := first.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		why := errors.New("cancelled")
		ctx, cancel := context.WithCancelCause(t.Context())
		waited := make(chan error, 1)
		go func() { waited <- second.Wait(ctx) }()
		synctest.Wait()
		if len(waited) > 0 {
			t.Fatal("the second did not wait for the first")
		}
		cancel(why)
		if err := <-waited; !errors.Is(err, why) {
			t.Errorf("Wait gave %v, want %v", err, why)
		}
		go func() { waited <- second.Wait(t.Context()) }()
		synctest.Wait()
		first.Leave()
		if err := <-waited; err != nil {
			t.Errorf("after the first had left Wait gave %v", err)
		}
	})
}

func TestAPlaceIsGivenUpOnce(t *testing.T) {
	var q Queue
	first, second, third := q.Enter("1", true, false), q.Enter("2", true, false), q.Enter("3", true, false)
	first.Leave()
	first.Leave()
	second.Leave()
	if !granted(third) {
		t.Error("the third does not run")
	}
	waits := q.Enter("4", false, false)
	waits.Leave() // before its turn
	third.Leave()
	if got := q.State(); len(got.Running)+len(got.Waiting) > 0 || granted(waits) {
		t.Errorf("left over: %+v", got)
	}
}

func TestStateSaysWhyNothingMoves(t *testing.T) {
	var q Queue
	q.Hold(true)
	q.Drain(true)
	q.Occupy()
	q.Occupy()
	q.Vacate()
	q.Enter("x", true, true)
	want := State{Running: []string{"x"}, Waiting: []string{}, Exclusive: true, Held: true, Draining: true, Occupied: true}
	if diff := cmp.Diff(want, q.State()); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	q.Vacate()
	if q.State().Occupied {
		t.Error("vacated and still occupied")
	}
}

// Many come and go at once; everybody gets a turn and nobody shares the host
// with an exclusive one.
func TestEverybodyGetsATurn(t *testing.T) {
	var (
		q      Queue
		wg     sync.WaitGroup
		mu     sync.Mutex
		alone  bool
		shared int
	)
	for i := range 200 {
		wg.Go(func() {
			exclusive := i%5 == 0
			ticket := q.Enter(fmt.Sprint(i), exclusive, false)
			if i%7 == 0 {
				ticket.Leave()
				return
			}
			if err := ticket.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			mu.Lock()
			if alone || exclusive && shared > 0 || shared >= MaxShared {
				t.Errorf("task %d runs beside others: alone %v, shared %d", i, alone, shared)
			}
			if alone = exclusive; !exclusive {
				shared++
			}
			mu.Unlock()
			mu.Lock()
			if alone = false; !exclusive {
				shared--
			}
			mu.Unlock()
			ticket.Leave()
		})
	}
	wg.Wait()
}
