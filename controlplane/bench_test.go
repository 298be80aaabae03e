package controlplane

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"devserver-agent/protocol"
)

const benchHosts = 20

// BenchmarkQueryRound measures a job over 20 hosts, from POST until the API
// calls it FINISHED, and prints its ratio to a floor taken in the same run: as
// many plain subscribers that are sent one message and answer with the same
// three statuses, stored in the same stream.
func BenchmarkQueryRound(b *testing.B) {
	opts := testOptions(b)
	opts.Log = zap.NewNop()
	p := startPlane(b, opts)
	var ids []string
	for i := range benchHosts {
		ids = append(ids, fmt.Sprintf("server-%02d", i))
	}
	floor := bareRound(b, p, ids)
	for _, id := range ids {
		p.host(id, succeed)
	}
	for b.Loop() {
		p.round(ids)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(floor), "x-floor")
	b.ReportMetric(float64(floor.Microseconds())/1000, "floor-ms")
}

// round creates a job and waits for its end as a client does.
func (p *plane) round(ids []string) {
	j := p.create(ids...)
	resp, err := http.Get("http://" + p.Addr() + "/v1/" + project + "/dev-servers/jobs/" + j.ID + "/events")
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), `"status":"FINISHED"`) {
			return
		}
	}
	p.t.Fatalf("events of job %s ended before it: %v", j.ID, lines.Err())
}

// bareRound is the time of a round without agents and control plane.
func bareRound(b *testing.B, p *plane, ids []string) time.Duration {
	ends := make(chan struct{}, benchHosts)
	for _, id := range ids {
		conn, err := nats.Connect(p.NATS())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		h := &host{t: b, conn: conn, server: id, installation: "bare", said: map[string][]protocol.Status{}}
		if _, err := conn.Subscribe("bare."+id, func(m *nats.Msg) {
			var task protocol.Task
			if err := json.Unmarshal(m.Data, &task); err != nil {
				b.Error(err)
			}
			h.accept(task, protocol.Envelope{})
			succeed(h, task)
			ends <- struct{}{}
		}); err != nil {
			b.Fatal(err)
		}
		if err := conn.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	const rounds = 30
	start := time.Now()
	for n := range rounds {
		for _, id := range ids {
			data, err := json.Marshal(protocol.Task{TaskID: fmt.Sprintf("bare-%s-%d", id, n), JobID: "bare", ServerID: id})
			if err != nil {
				b.Fatal(err)
			}
			if err := p.broker.Conn.Publish("bare."+id, data); err != nil {
				b.Fatal(err)
			}
		}
		for range ids {
			<-ends
		}
	}
	return time.Since(start) / rounds
}
