package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// counts is how often things were said since the agent was started, by what they are. The
// zero value has counted nothing.
type counts[K comparable] struct {
	mu sync.Mutex
	of map[K]uint64
}

func (c *counts[K]) count(what K, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[K]uint64{}
	}
	c.of[what] += uint64(max(times, 1))
}

func (c *counts[K]) all() map[K]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.of)
}

// verdict is what a task ended with.
type verdict struct {
	status protocol.State
	code   protocol.Code
}

// record keeps what a task's log gets for the audit log, and counts verdicts. What was
// there before the start is only told.
func (a *Agent) record(task string, rec journal.Record) {
	a.audit.Record(task, rec)
	if s := rec.Status; a.caughtUp && s != nil && s.Status.Status.Terminal() {
		a.verdicts.count(verdict{s.Status.Status, s.Status.Code}, 1)
	}
}

// notice counts and reports what the inbox did not take.
func (a *Agent) notice(n protocol.Notice) {
	a.notices.count(n.Code, n.Count)
	a.outbox.Notice(n)
}

// serveMetrics answers with the agent's figures in Prometheus' text format.
func (a *Agent) serveMetrics(ctx context.Context, listen string) error {
	set := metrics.NewSet()
	flag := func(on bool) float64 {
		if on {
			return 1
		}
		return 0
	}
	set.NewGauge("devserver_agent_tasks_open", func() float64 { return float64(len(a.store.AllOpen())) })
	set.NewGauge("devserver_agent_tasks_running", func() float64 { return float64(len(a.queue.State().Running)) })
	set.NewGauge("devserver_agent_tasks_waiting", func() float64 { return float64(len(a.queue.State().Waiting)) })
	set.NewGauge("devserver_agent_broker_connected", func() float64 { return flag(a.conn.Load().Connected()) })
	set.NewGauge("devserver_agent_disk_full", func() float64 { return flag(a.store.Full()) })
	set.NewGauge("devserver_agent_held", func() float64 { return flag(a.queue.State().Held) })
	counted := func() {
		for code, n := range a.notices.all() {
			set.GetOrCreateCounter(fmt.Sprintf("devserver_agent_notices_total{code=%q}", string(code))).Set(n)
		}
		for v, n := range a.verdicts.all() {
			set.GetOrCreateCounter(fmt.Sprintf("devserver_agent_verdicts_total{status=%q,code=%q}", string(v.status), string(v.code))).Set(n)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		counted()
		set.WritePrometheus(w)
	})
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
