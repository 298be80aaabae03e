package inbox_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

func TestMain(m *testing.M) {
	// Every case works on a real disk, which is slow.
	for name, value := range map[string]string{"rapid.checks": "25", "rapid.steps": "15"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	flag.Parse()
	os.Exit(m.Run())
}

// model is what should be known of a task.
type model struct {
	digest    string
	tombstone bool
	cancelled bool
	ended     bool
	closed    bool
}

// delivery is a host to which mailboxes come in any order, any number of times.
type delivery struct {
	bed   *bed
	model map[string]*model
	past  [][]any // mailboxes that were delivered
}

var deliveryIDs = []string{"a", "b", "c"}

// statement draws a task, one of other content under the same id, or a cancel.
func statement(t *rapid.T) any {
	id := rapid.SampledFrom(deliveryIDs).Draw(t, "id")
	fixed := func(job string) protocol.Task {
		return task(id, func(t *protocol.Task) {
			t.JobID = job
			t.IssuedAt, t.ExpiresAt = protocol.Millis(born), protocol.Millis(born.Add(24*time.Hour))
		})
	}
	switch rapid.SampledFrom([]string{"task", "task", "changed", "cancel"}).Draw(t, "kind") {
	case "task":
		return fixed("job-1")
	case "changed":
		return fixed("job-2")
	}
	return protocol.Cancel{TaskID: id, ServerID: server, ExpiresAt: protocol.Millis(born.Add(24 * time.Hour)), Reason: "job deleted"}
}

var born = time.Now()

func (d *delivery) receive(t *rapid.T) {
	d.deliver(rapid.SliceOfN(rapid.Custom(statement), 0, 6).Draw(t, "mailbox"))
}

func (d *delivery) receiveAnOldOne(t *rapid.T) {
	if len(d.past) == 0 {
		t.Skip("there is none") // rapid draws another action
	}
	d.deliver(rapid.SampledFrom(d.past).Draw(t, "old mailbox"))
}

func (d *delivery) deliver(statements []any) {
	d.past = append(d.past, statements)
	d.bed.receive(statements...)
	for _, s := range statements {
		c, ok := s.(protocol.Cancel)
		if !ok {
			continue
		}
		if known := d.model[c.TaskID]; known == nil {
			d.model[c.TaskID] = &model{tombstone: true, ended: true}
		} else if !known.ended {
			known.cancelled = true
		}
	}
	for _, s := range statements {
		if task, ok := s.(protocol.Task); ok && d.model[task.TaskID] == nil {
			d.model[task.TaskID] = &model{digest: protocol.Digest(seal(d.bed.t, task))}
		}
	}
}

func (d *delivery) end(t *rapid.T) {
	id := d.pick(t, func(m *model) bool { return !m.ended })
	d.bed.end(id)
	d.model[id].ended = true
}

func (d *delivery) acknowledge(t *rapid.T) {
	id := d.pick(t, func(m *model) bool { return m.ended && !m.closed })
	d.bed.acknowledge(id, time.Now())
	d.model[id].closed = true
}

func (d *delivery) restart(*rapid.T) {
	d.bed.close()
	d.bed.open(nil)
}

func (d *delivery) pick(t *rapid.T, fits func(*model) bool) string {
	var ids []string
	for _, id := range deliveryIDs {
		if m := d.model[id]; m != nil && fits(m) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		t.Skip("there is none") // rapid draws another action
	}
	return rapid.SampledFrom(ids).Draw(t, "id")
}

// check compares the disk with the model.
func (d *delivery) check(t *rapid.T) {
	for _, id := range deliveryIDs {
		m := d.model[id]
		view, err := journal.ReadTask(d.bed.dir, id)
		if m == nil {
			if err == nil {
				t.Fatalf("%s is known", id)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		runs := 0
		for _, accepted := range d.bed.accepted {
			if accepted == id {
				runs++
			}
		}
		verdicts := 0
		for _, s := range view.Statuses {
			if s.Status.Status.Terminal() {
				verdicts++
			}
		}
		got := fmt.Sprintf("runs %d, verdicts %d, tombstone %v, cancelled %v", runs, verdicts, view.Accept.Task == nil, view.Cancel != nil)
		want := fmt.Sprintf("runs %d, verdicts %d, tombstone %v, cancelled %v", 1, count(m.ended), m.tombstone, m.cancelled && !m.closed)
		if m.tombstone {
			want = "runs 0, verdicts 1, tombstone true, cancelled false"
			if view.Latest().Status != protocol.Deleted {
				t.Fatalf("the tombstone of %s says %s", id, view.Latest().Status)
			}
		}
		if got != want {
			t.Fatalf("%s has %s, want %s", id, got, want)
		}
		if m.digest != "" && view.Accept.Digest != m.digest {
			t.Fatalf("the content of %s was changed", id)
		}
		if view.Open == m.closed {
			t.Fatalf("%s is open: %v", id, view.Open)
		}
	}
	if extra := slices.DeleteFunc(d.bed.known(), func(id string) bool { return d.model[id] != nil }); len(extra) > 0 {
		t.Fatalf("unknown tasks: %v", extra)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestDeliveryInAnyOrderIsOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := &delivery{bed: newBed(t, nil), model: map[string]*model{}}
		defer d.bed.close()
		rt.Repeat(map[string]func(*rapid.T){
			"receive": d.receive, "receive again": d.receive, "receive an old one": d.receiveAnOldOne,
			"end": d.end, "acknowledge": d.acknowledge, "restart": d.restart,
			"": d.check,
		})
	})
}
