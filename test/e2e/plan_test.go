package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"devserver-agent/agent/failpoint"
)

// plan is a schedule as its seed makes it: tasks, and what happens to them. How
// long everything takes is not in the seed, so a failure may need several runs
// to come again.
type plan struct {
	seed   uint64
	tasks  []plannedTask
	events []event
}

// plannedTask is a task to be given.
type plannedTask struct {
	id      string
	items   [][]string // words of rig.trial
	timeout int64      // seconds, 0: the items' own
}

// event is one thing that happens, after a pause.
type event struct {
	after time.Duration
	what  happening
	on    int           // which task; in an upgrade which host
	point string        // fail point that the next agent is armed with, or ""
	lasts time.Duration // of what is to end again
	sky   weather
}

type happening string

const (
	give        happening = "give"         // a task is listed and the mailbox stored
	cancel      happening = "cancel"       // perhaps before its task is listed
	change      happening = "change"       // other content under a known id
	repeat      happening = "repeat"       // the same mailbox again
	older       happening = "older"        // a former mailbox is pushed
	restore     happening = "restore"      // a former mailbox is stored
	killAgent   happening = "kill agent"   // kill -9
	stopAgent   happening = "stop agent"   // SIGTERM
	killShim    happening = "kill shim"    // kill -9 of all shims
	killProgram happening = "kill program" // kill -9 of all programs
	powerCycle  happening = "power cycle"  // all that the host runs is killed, another boot
	stopBroker  happening = "stop broker"  // it comes back with its store
	badNetwork  happening = "bad network"
)

// troubles are drawn from with equal chances.
var troubles = []happening{
	cancel, change, repeat, older, restore, killAgent, killAgent, killAgent, stopAgent,
	killShim, killProgram, powerCycle, stopBroker, badNetwork, badNetwork,
}

var points = []string{
	failpoint.BeforeAccept, failpoint.Accepted, failpoint.StepPrepared, failpoint.StepStarted, failpoint.StepEnded,
	failpoint.Verdict, failpoint.StatusSent, failpoint.MemoRead, failpoint.OutputSent, failpoint.CancelPending,
	shimPrefix + failpoint.ShimStarted, shimPrefix + failpoint.ShimEnded,
}

// shimPrefix marks a point that a shim is armed with.
const shimPrefix = "shim/"

func (e event) String() string {
	text := fmt.Sprintf("after %v %s", e.after, e.what)
	switch e.what {
	case give, cancel, change:
		text += fmt.Sprintf(" task-%d", e.on)
	case killAgent, stopAgent, powerCycle:
		text += fmt.Sprintf(", start it after %v armed with %q", e.lasts, e.point)
	case stopBroker:
		text += fmt.Sprintf(" for %v", e.lasts)
	case badNetwork:
		text += fmt.Sprintf(" %d for %v", e.sky, e.lasts)
	}
	return text
}

func (p plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", p.seed)
	for _, t := range p.tasks {
		fmt.Fprintf(&b, "  %s (timeout %d s): %q\n", t.id, t.timeout, t.items)
	}
	for _, e := range p.events {
		fmt.Fprintf(&b, "  %v\n", e)
	}
	return b.String()
}

// newPlan draws a plan from its seed.
func newPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, seed))
	p := plan{seed: seed}
	for n := range 1 + r.IntN(4) {
		p.tasks = append(p.tasks, drawTask(r, n))
	}
	for n := range p.tasks {
		p.events = append(p.events, event{what: give, on: n})
	}
	for range 2 + r.IntN(7) {
		p.events = append(p.events, drawEvent(r, troubles, points, len(p.tasks)))
	}
	r.Shuffle(len(p.events), func(i, j int) { p.events[i], p.events[j] = p.events[j], p.events[i] })
	for i := range p.events {
		p.events[i].after = time.Duration(r.IntN(400)) * time.Millisecond
	}
	return p
}

// drawEvent draws what happens to one of so many tasks or hosts.
func drawEvent(r *rand.Rand, troubles []happening, points []string, of int) event {
	e := event{
		what: troubles[r.IntN(len(troubles))], on: r.IntN(of),
		lasts: time.Duration(r.IntN(700)) * time.Millisecond,
		sky:   firstFoul + weather(r.IntN(int(weathers-firstFoul))),
	}
	if r.IntN(3) > 0 {
		e.point = points[r.IntN(len(points))]
		if n := r.IntN(4); n > 0 && !strings.HasPrefix(e.point, shimPrefix) {
			e.point += fmt.Sprintf(":%d", n)
		}
	}
	return e
}

// drawTask makes a task of one item or two. The steps' names are unique in the
// schedule, and the last letters tell what may become of the task.
func drawTask(r *rand.Rand, n int) plannedTask {
	t := plannedTask{id: fmt.Sprintf("task-%d", n)}
	for item := range 1 + r.IntN(6)/5 {
		var words []string
		if r.IntN(2) == 0 {
			words = append(words, "shared")
		}
		for step := range 1 + r.IntN(3) {
			words = append(words, fmt.Sprintf("t%di%ds%d:%s", n, item, step, drawKind(r)))
		}
		if r.IntN(4) == 0 {
			words = append(words, "policy=give-up")
		}
		switch r.IntN(16) {
		case 0:
			words = append(words, "result=fail")
		case 1:
			words = append(words, "result=panic")
		}
		t.items = append(t.items, words)
	}
	if r.IntN(10) == 0 {
		t.timeout = 1
	}
	return t
}

func drawKind(r *rand.Rand) string {
	switch r.IntN(12) {
	case 0, 1, 2:
		return "ok"
	case 3, 4, 5:
		return fmt.Sprintf("slow:%d", 50+r.IntN(900))
	case 6, 7, 8:
		return fmt.Sprintf("chatty:%d", 1<<(10+r.IntN(11)))
	case 9:
		return fmt.Sprintf("deaf:%d", 50+r.IntN(900))
	case 10:
		return fmt.Sprintf("stubborn:%d", 50+r.IntN(1800))
	}
	return fmt.Sprintf("fail:%d", 1+r.IntN(100))
}
