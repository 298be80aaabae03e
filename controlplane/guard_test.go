package controlplane

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"devserver-agent/protocol"
)

// guard sees every mailbox that is pushed. A server is at work from the first
// mailbox that lists its task until it is about to say its verdict.
type guard struct {
	t     testing.TB
	limit int

	mu     sync.Mutex
	order  []string        // servers, as their tasks were first listed
	listed map[string]bool // by server
	done   map[string]bool
	most   int
}

func newGuard(t testing.TB, url string, trust protocol.Key, limit int) *guard {
	t.Helper()
	g := &guard{t: t, limit: limit, listed: map[string]bool{}, done: map[string]bool{}}
	conn, err := nats.Connect(url, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	_, err = conn.Subscribe(protocol.PushSubject("*"), func(m *nats.Msg) {
		var box protocol.Mailbox
		if err := json.Unmarshal(m.Data, &box); err != nil {
			t.Error(err)
		}
		for _, e := range box.Statements {
			if e.PayloadType == protocol.TaskPayload {
				g.lists(box.ServerID)
			}
		}
	})
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *guard) lists(server string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.listed[server] {
		g.listed[server] = true
		g.order = append(g.order, server)
	}
	atWork := len(g.listed) - len(g.done)
	if g.most = max(g.most, atWork); atWork > g.limit {
		g.t.Errorf("%d servers are at work, %d may be", atWork, g.limit)
	}
}

// end notes that a server's verdict is about to be said.
func (g *guard) end(server string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listed[server], g.done[server] = true, true
}

func (g *guard) handedOut() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.order)
}

// with has the guard learn when a server is about to say its verdict.
func (g *guard) with(work func(*host, protocol.Task)) func(*host, protocol.Task) {
	return func(h *host, task protocol.Task) {
		g.lists(h.server) // it may have fetched the mailbox before the guard was pushed it
		h.mu.Lock()
		h.ending = func() { g.end(h.server) }
		h.mu.Unlock()
		work(h, task)
	}
}
