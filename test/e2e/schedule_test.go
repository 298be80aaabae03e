package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

const scheduleCount = 16

func TestSchedules(t *testing.T) {
	first, count := seeds(t, "E2E_SCHEDULES", scheduleCount)
	t.Logf("%d schedules, E2E_SEED=%d", count, first)
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("E2E_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			newSchedule(t, newPlan(seed)).run()
		})
	}
}

// seeds are the first seed of a run and how many there are: E2E_SEED, and what name says.
func seeds(t *testing.T, name string, otherwise uint64) (first, count uint64) {
	t.Helper()
	if count = fromEnv(t, name, otherwise); count == 0 {
		t.Fatalf("%s is 0: nothing would be tried", name)
	}
	return fromEnv(t, "E2E_SEED", uint64(time.Now().UnixNano())%1e9), count
}

func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// schedule is a plan that is carried out.
type schedule struct {
	*rig
	plan  plan
	tasks []protocol.Task
	begun time.Time
	done  []string // what happened, when

	listed    map[string]bool // tasks that were given
	cancelled map[string]bool
	// spared are tasks whose cancel was in a mailbox before they were.
	spared map[string]bool
	killed map[string]bool // tasks a program of which the test killed
	cut    bool            // shims were killed: steps may have been interrupted

	// What is to end again, and when; zero: nothing is wrong.
	start, broker, network time.Time
	point                  string // that the agent is armed with when it is started
}

func newSchedule(t *testing.T, p plan) *schedule {
	s := &schedule{
		rig: newRig(t), plan: p, begun: time.Now(),
		listed: map[string]bool{}, cancelled: map[string]bool{}, spared: map[string]bool{}, killed: map[string]bool{},
	}
	for _, planned := range p.tasks {
		var items []protocol.Item
		for _, words := range planned.items {
			items = append(items, s.trial(words...))
		}
		task := s.task(planned.id, items...)
		task.TimeoutSeconds = planned.timeout
		s.tasks = append(s.tasks, task)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%v%s", p, strings.Join(s.done, "\n"))
		}
	})
	return s
}

func (s *schedule) note(format string, args ...any) {
	s.done = append(s.done, fmt.Sprintf("%8v ", time.Since(s.begun).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (s *schedule) run() {
	s.rig.start()
	for _, e := range s.plan.events {
		s.pass(e.after)
		s.note("%v", e)
		s.happen(e)
	}
	s.settle()
	s.verify()
}

// pass lets time go by, in which what was broken is mended when its time comes.
func (s *schedule) pass(d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s.mend(time.Now())
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

// mend undoes what has lasted long enough. An agent that died at its fail point
// is started again at once.
func (s *schedule) mend(now time.Time) {
	over := func(until *time.Time) bool {
		if until.IsZero() || now.Before(*until) {
			return false
		}
		*until = time.Time{}
		return true
	}
	if !s.alive() && s.start.IsZero() {
		s.note("the agent has died")
		if err := s.agent.unexpected(); err != nil {
			s.rig.t.Fatal(err)
		}
		s.start = now
	}
	if over(&s.start) {
		s.startArmed()
	}
	if over(&s.broker) {
		s.note("broker starts")
		s.up()
		s.net.lead(s.address())
		s.deliver() // a control plane says again what was not acknowledged
	}
	if over(&s.network) {
		s.note("network is fair")
		s.net.become(fair)
	}
}

func (s *schedule) startArmed() {
	s.note("agent starts armed with %q", s.point)
	point, forShim := strings.CutPrefix(s.point, shimPrefix)
	s.point = ""
	if forShim {
		s.cut = true
		s.arm("step", point)
		point = ""
	}
	s.rig.start(point)
}

// settle mends everything, has all statements delivered and waits until the host
// has nothing left to do or to say.
func (s *schedule) settle() {
	s.note("settle")
	now := time.Now()
	for _, until := range []*time.Time{&s.start, &s.broker, &s.network} {
		if !until.IsZero() {
			*until = now
		}
	}
	s.mend(now)
	s.deliver()
	wait.Until(s.rig.t, "all tasks have ended and are closed", func() error {
		s.mend(time.Now())
		for _, task := range s.tasks {
			if s.verdict(task.TaskID) == nil {
				return fmt.Errorf("%s has no verdict: %v", task.TaskID, brief(s.of(task.TaskID)))
			}
		}
		open, err := os.ReadDir(s.stateDir() + "/open")
		if len(open) > 0 {
			return fmt.Errorf("these are open: %v", open)
		}
		return err
	})
	s.note("settled")
	s.stop()
}
