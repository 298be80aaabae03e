package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"devserver-agent/protocol"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

func TestDeliveryOfTheSameTask(t *testing.T) {
	t.Parallel()
	t.Run("twice and after its end", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.give("task-1", "a:gate")
		for range 3 {
			r.deliver()
		}
		r.awaitProgram("a")
		r.deliver()
		r.open("a")
		r.ends("task-1", protocol.Success, "")
		said := len(r.statuses())
		r.deliver()
		r.push(r.copy())
		r.kill()
		r.start()
		r.give("task-2", "b:ok")
		r.ends("task-2", protocol.Success, "")
		if again := len(r.statuses()) - said; again != len(r.of("task-2")) {
			t.Errorf("the broker has %v", brief(r.statuses()))
		}
		r.wantStarts(map[string]int{"a": 1, "b": 1})
	})
	t.Run("and of another in two orders", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.list(r.task("task-1", r.trial("shared", "a:ok")), r.task("task-2", r.trial("shared", "b:ok")))
		other := r.copy()
		other.Statements[0], other.Statements[1] = other.Statements[1], other.Statements[0]
		r.start()
		r.store(other)
		r.deliver()
		r.push(other)
		r.ends("task-1", protocol.Success, "")
		r.ends("task-2", protocol.Success, "")
		r.wantStarts(map[string]int{"a": 1, "b": 1})
	})
	t.Run("with changed content, which is refused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.give("task-1", "a:gate")
		r.accepted("task-1")
		for _, when := range []string{"while it runs", "after its end"} {
			box := r.copy()
			box.Statements = append(box.Statements, r.seal(r.task("task-1", r.trial("changed:ok"))))
			r.push(box)
			if n := r.notice(protocol.NoticeContentChanged); n.TaskID != "task-1" || n.Digest == "" {
				t.Errorf("%s: the notice is %+v", when, n)
			}
			r.open("a")
			r.ends("task-1", protocol.Success, "")
		}
		r.give("task-2", "b:ok") // comes after what was pushed
		r.ends("task-2", protocol.Success, "")
		r.wantStarts(map[string]int{"a": 1, "b": 1})
	})
}

func TestDeliveryWhileTheBrokerIsAwayForLong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.give("task-1", "a:gate", "b:chatty:1000000", "c:ok")
	r.awaitProgram("a")
	r.away()
	r.open("a")
	wait.Until(t, "the task has ended on the host", func() error {
		if r.started()["c"] == 0 || len(r.running()) > 0 {
			return fmt.Errorf("%v were started", r.started())
		}
		return nil
	})
	r.kill()
	r.start() // it finds no broker at all
	wait.Until(t, "the agent answers while it has no broker", func() error { return r.command("status").Run() })
	r.up()
	r.net.lead(r.address())
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1, "b": 1, "c": 1})
}

func TestDeliveryIntoANetworkThatSwallowsEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.net.become(stalled)
	r.start()
	// Nothing waits for the broker: neither those who ask nor those who stop it.
	const atOnce = 9 * time.Second // a broker's answer is waited for 10 s
	if err := wait.Within(atOnce, func() error { return r.command("status").Run() }); err != nil {
		t.Errorf("the agent does not answer: %v", err)
	}
	stopped := time.Now()
	r.stop()
	if took := time.Since(stopped); took > atOnce {
		t.Errorf("the agent took %s to stop", took)
	}
}

// roomy is a broker that takes a mailbox of ten thousand entries.
func roomy(o *server.Options) { o.MaxPayload = 32 << 20 }

// maxResident bounds the agent's memory while it reads the largest mailboxes.
const maxResident = 150 << 20

func TestDeliveryOfTenThousandEntries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		entry func(r *rig, n int) protocol.Envelope
		want  protocol.Code
	}{
		{"that nobody signed", func(r *rig, n int) protocol.Envelope {
			e, err := protocol.Seal(nil, r.task(fmt.Sprintf("forged-%d", n), r.trial("forged:ok")))
			r.must(err)
			return e
		}, protocol.NoticeUnsigned},
		{"that are all good", func(r *rig, n int) protocol.Envelope {
			return r.seal(r.task(fmt.Sprintf("waits-%d", n), r.trial("w:slow:60000")))
		}, protocol.NoticeTooManyTasks},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, roomy)
			r.binary = programs.TestAgent.Path(t) // without race detector: its memory counts
			r.start()
			var entries []protocol.Envelope
			for n := range 10_000 {
				entries = append(entries, c.entry(r, n))
			}
			r.give("good", "good:gate")
			r.accepted("good")
			r.box.Statements = append(r.box.Statements, entries...)
			r.deliver()
			r.notice(c.want)
			r.deliver()
			r.open("good")
			r.ends("good", protocol.Success, "")
			if got := r.resident(); got > maxResident {
				t.Errorf("the agent has had %d MiB", got>>20)
			} else {
				t.Logf("the agent has had %d MiB", got>>20)
			}
			open, err := os.ReadDir(r.stateDir() + "/open")
			if err != nil || len(open) > protocol.MaxOpenTasks {
				t.Errorf("%d tasks are open, %v", len(open), err)
			}
			if n := len(r.notices()); n > 2*protocol.MaxOpenTasks {
				t.Errorf("%d notices were sent", n)
			}
		})
	}
}

// resident is the most memory that the agent has had, in bytes.
func (h *host) resident() int64 {
	h.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.agent.cmd.Process.Pid))
	h.must(err)
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			h.must(err)
			return kib << 10
		}
	}
	h.t.Fatalf("no VmHWM in %s", raw)
	return 0
}
