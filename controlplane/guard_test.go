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
	turns []string // servers in the order of their turns, if that is to be kept

	mu     sync.Mutex
	order  []string                 // servers, as their tasks were first listed
	listed map[string]chan struct{} // by server; closed once its task is listed
	done   map[string]bool
	most   int
}

func newGuard(t testing.TB, url string, trust protocol.Key, limit int) *guard {
	t.Helper()
	g := &guard{t: t, limit: limit, listed: map[string]chan struct{}{}, done: map[string]bool{}}
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
	if slices.Contains(g.order, server) {
		return
	}
	g.order = append(g.order, server)
	close(g.of(server))
	g.keepsTurn(server)
	atWork := len(g.order) - len(g.done)
	if g.most = max(g.most, atWork); atWork > g.limit {
		g.t.Errorf("%d servers are at work, %d may be", atWork, g.limit)
	}
}

// keepsTurn checks that those before a server have ended, up to as many as may be at
// work beside it. g.mu is held.
func (g *guard) keepsTurn(server string) {
	var before []string
	for _, other := range g.turns[:max(slices.Index(g.turns, server), 0)] {
		if !g.done[other] {
			before = append(before, other)
		}
	}
	if len(before) >= g.limit {
		g.t.Errorf("%s was handed its task before %v had ended", server, before)
	}
}

// of is closed once a server's task is listed. g.mu is held.
func (g *guard) of(server string) chan struct{} {
	if g.listed[server] == nil {
		g.listed[server] = make(chan struct{})
	}
	return g.listed[server]
}

// heard waits until the guard was pushed what a host has read, which it may have before:
// the order is that of the stream.
func (g *guard) heard(server string) {
	g.mu.Lock()
	listed := g.of(server)
	g.mu.Unlock()
	select {
	case <-listed:
	case <-g.t.Context().Done():
	}
}

// end notes that a server's verdict is about to be said.
func (g *guard) end(server string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done[server] = true
}

func (g *guard) handedOut() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.order)
}

// with has the guard learn when a server is about to say its verdict.
func (g *guard) with(work func(*host, protocol.Task)) func(*host, protocol.Task) {
	return func(h *host, task protocol.Task) {
		g.heard(h.server)
		h.mu.Lock()
		h.ending = func() { g.end(h.server) }
		h.mu.Unlock()
		work(h, task)
	}
}
