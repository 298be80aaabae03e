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

	"devserver-agent/protocol"
)

// notices counts by code what was refused, or waits in the mailbox, since the agent
// was started. The zero value has counted nothing.
type notices struct {
	mu     sync.Mutex
	byCode map[protocol.Code]uint64
}

func (n *notices) count(code protocol.Code, times int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byCode == nil {
		n.byCode = map[protocol.Code]uint64{}
	}
	n.byCode[code] += uint64(max(times, 1))
}

func (n *notices) all() map[protocol.Code]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.byCode)
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
	notices := func() {
		for code, n := range a.notices.all() {
			set.GetOrCreateCounter(fmt.Sprintf("devserver_agent_notices_total{code=%q}", string(code))).Set(n)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		notices()
		set.WritePrometheus(w)
	})
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
