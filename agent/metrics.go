package agent

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

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
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		set.WritePrometheus(w)
	})
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
