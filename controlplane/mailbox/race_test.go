package mailbox

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

const server = "server-a"

var testKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// replica is a view and the writer that follows it.
func startReplica(t *testing.T, b *broker.Broker) (*view.View, *Writer) {
	t.Helper()
	var w *Writer
	v := view.New(view.Options{Changed: func(server string, atOnce bool) { w.Touch(server, atOnce) }})
	var err error
	w, err = Open(t.Context(), Options{JS: b.JS, View: v, Key: testKey, Epoch: "e1", Soon: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return v, w
}

func newRecord(t *testing.T) jobs.Record {
	t.Helper()
	r, err := jobs.New(jobs.Request{
		ProjectID: "p", Name: "q", Type: "ASCEND_SOFTWARE_QUERY", TemplateID: "t", UserName: "local",
		Items: []protocol.Item{{Type: "HDK_QUERY"}}, Servers: []string{server},
	}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func verdictOf(r jobs.Record) protocol.Status {
	return protocol.Status{
		TaskID: jobs.TaskID(r.ID, server), JobID: r.ID, ServerID: server, InstallationID: "i",
		Seq: 1, Status: protocol.Success, Phase: protocol.Done,
	}
}

// history notes every version of the mailbox, as agents are pushed it.
type history struct {
	mu       sync.Mutex
	versions []map[string]bool // tasks listed
}

func (h *history) watch(t *testing.T, b *broker.Broker) {
	t.Helper()
	_, err := b.Conn.Subscribe(protocol.PushSubject(server), func(m *nats.Msg) {
		var box protocol.Mailbox
		if err := json.Unmarshal(m.Data, &box); err != nil {
			t.Error(err)
		}
		listed := map[string]bool{}
		for _, e := range box.Statements {
			s, err := protocol.Keyring{Keys: []protocol.Trusted{{Key: protocol.KeyOf(testKey)}}}.Open(e, time.Now())
			if err != nil {
				t.Error(err)
				continue
			}
			id, _ := s.IDs()
			listed[id] = true
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.versions = append(h.versions, listed)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *history) last() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.versions) == 0 {
		return nil
	}
	return h.versions[len(h.versions)-1]
}

// TestReplicasThatKnowDifferentThingsLoseNoStatement lets two replicas write
// one mailbox while each learns of jobs and verdicts at times of its own.
func TestReplicasThatKnowDifferentThingsLoseNoStatement(t *testing.T) {
	b := brokertest.Embedded(t)
	var views [2]*view.View
	for i := range views {
		views[i], _ = startReplica(t, b)
	}
	var seen history
	seen.watch(t, b)
	const seed = 20261122
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	open := map[string]bool{}
	var learning sync.WaitGroup
	for range 60 {
		r := newRecord(t)
		task := jobs.TaskID(r.ID, server)
		ends := random.IntN(4) > 0
		open[task] = !ends
		first := random.IntN(2)
		for i, v := range []*view.View{views[first], views[1-first]} {
			pauses := random.IntN(3)
			learning.Go(func() {
				for range pauses * i { // the second learns later, by whole mailbox writes
					if err := b.Conn.Flush(); err != nil {
						t.Error(err)
					}
				}
				v.ApplyRecord(r, 1)
				if ends {
					v.ApplyStatus(server, verdictOf(r), time.Now())
				}
			})
		}
		if random.IntN(8) == 0 {
			learning.Wait()
		}
	}
	learning.Wait()
	wait.Until(t, "the mailbox lists what is open and nothing else", func() error {
		listed := seen.last()
		for task, isOpen := range open {
			if listed[task] != isOpen {
				return fmt.Errorf("task %s is open: %v, listed: %v", task, isOpen, listed[task])
			}
		}
		return nil
	})
	seen.mu.Lock()
	defer seen.mu.Unlock()
	for i := 1; i < len(seen.versions); i++ {
		for task := range seen.versions[i-1] {
			if open[task] && !seen.versions[i][task] {
				t.Errorf("version %d dropped open task %s", i, task)
			}
		}
	}
}

func TestAReplicaLeavesWhatItDoesNotKnow(t *testing.T) {
	b := brokertest.Embedded(t)
	one, _ := startReplica(t, b)
	var seen history
	seen.watch(t, b)
	unknown := newRecord(t)
	one.ApplyRecord(unknown, 1)
	wait.Until(t, "the first replica has written", func() error {
		if len(seen.last()) != 1 {
			return fmt.Errorf("%v", seen.last())
		}
		return nil
	})
	two, _ := startReplica(t, b)
	known := newRecord(t)
	two.ApplyRecord(known, 1)
	wait.Until(t, "both are listed", func() error {
		if got := seen.last(); !got[jobs.TaskID(unknown.ID, server)] || !got[jobs.TaskID(known.ID, server)] {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
}

func TestMoreThanFitsWaits(t *testing.T) {
	b := brokertest.Embedded(t)
	v, _ := startReplica(t, b)
	var seen history
	seen.watch(t, b)
	var all []jobs.Record
	for range protocol.MaxOpenTasks + 3 {
		r := newRecord(t)
		all = append(all, r)
		v.ApplyRecord(r, 1)
	}
	count := func(want int) func() error {
		return func() error {
			if got := len(seen.last()); got != want {
				return fmt.Errorf("%d are listed", got)
			}
			return nil
		}
	}
	wait.Until(t, "as many as may be are listed", count(protocol.MaxOpenTasks))
	for _, r := range all[:protocol.MaxOpenTasks] {
		v.ApplyStatus(server, verdictOf(r), time.Now())
	}
	wait.Until(t, "what waited is listed, and only that", func() error {
		got := seen.last()
		for _, r := range all[protocol.MaxOpenTasks:] {
			if !got[jobs.TaskID(r.ID, server)] {
				return fmt.Errorf("job %s is not", r.ID)
			}
		}
		return count(3)()
	})
}
