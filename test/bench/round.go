package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"devserver-agent/test/fakehost"
)

const (
	fleet    = 20
	rounds   = 15
	floorArg = "floor-agent"
)

// round measures a query job over a fleet, POST to FINISHED, and beside it the
// least that could do the same: bare subscribers in as many processes that call
// the same tools and publish one answer.
func round(ctx context.Context, b bench) ([]figure, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	plane, err := b.plane(ctx)
	if err != nil {
		return nil, err
	}
	hosts := make([]*fakehost.Host, fleet)
	for i := range hosts {
		id := fmt.Sprintf("srv-%02d", i)
		h, err := fakehost.New(filepath.Join(b.dir, id), fakehost.A2, fakehost.Options{Binary: filepath.Join(b.bin, "fakehost"), ServerID: id})
		if err != nil {
			return nil, err
		}
		hosts[i] = h
		if err := b.agent(ctx, "devserver-agent", id, plane, h.Root(), h.BootIDFile(), ""); err != nil {
			return nil, err
		}
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		if _, err := b.program(ctx, id+"-floor.log", self, floorArg, plane.nats, id, h.Path("/usr/local/sbin/npu-smi")); err != nil {
			return nil, err
		}
	}
	floor, err := newFloor(plane.nats)
	if err != nil {
		return nil, err
	}
	if err := until(ctx, "all agents", func() bool { return plane.present() == fleet && floor.present() == fleet }); err != nil {
		return nil, err
	}
	var jobs, floors []time.Duration
	for range rounds {
		f, err := floor.round(ctx)
		if err != nil {
			return nil, err
		}
		j, err := plane.query(ctx)
		if err != nil {
			return nil, err
		}
		floors, jobs = append(floors, f), append(jobs, j)
	}
	value, least := median(jobs), median(floors)
	ratio := float64(value) / float64(least)
	return []figure{{
		what:  fmt.Sprintf("query job over %d agents, POST to FINISHED (median of %d)", fleet, rounds),
		value: value.Round(time.Millisecond).String(), floor: least.Round(time.Millisecond).String(),
		ratio: fmt.Sprintf("%.2f", ratio), limit: "2", missed: ratio > 2,
	}}, nil
}

// floorAgent is the least an agent could be: a subscriber that calls the tools
// of a query and answers. args: broker, server id,
// npu-smi; or read, broker, server id.
func floorAgent(args []string) {
	if args[0] == "read" {
		if err := floorRead(args[1], args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	nc, err := nats.Connect(args[0], nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, err = nc.Subscribe("bench.work", func(m *nats.Msg) {
		var said []byte
		for _, argv := range queryCalls() {
			out, err := exec.Command(args[2], argv...).CombinedOutput()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			said = append(said, out...)
		}
		_ = nc.Publish("bench.done."+args[1], said[:min(len(said), 512)])
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = nc.Subscribe("bench.present", func(m *nats.Msg) { _ = m.Respond(nil) })
	select {}
}

// queryCalls are the tool calls of HDK_QUERY on a host with eight cards.
func queryCalls() [][]string {
	calls := [][]string{{"info", "-l"}}
	for card := range 8 {
		calls = append(calls, []string{"info", "-t", "board", "-i", fmt.Sprint(card)})
	}
	return calls
}

type floor struct {
	nc   *nats.Conn
	done chan *nats.Msg
}

func newFloor(url string) (*floor, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	f := &floor{nc: nc, done: make(chan *nats.Msg, 4*fleet)}
	if _, err := nc.ChanSubscribe("bench.done.*", f.done); err != nil {
		return nil, err
	}
	return f, nc.Flush()
}

func (f *floor) present() int {
	inbox := f.nc.NewRespInbox()
	sub, err := f.nc.SubscribeSync(inbox)
	if err != nil {
		return 0
	}
	defer func() { _ = sub.Unsubscribe() }()
	_ = f.nc.PublishRequest("bench.present", inbox, nil)
	n := 0
	for {
		if _, err := sub.NextMsg(200 * time.Millisecond); err != nil {
			return n
		}
		n++
	}
}

func (f *floor) round(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	if err := f.nc.Publish("bench.work", nil); err != nil {
		return 0, err
	}
	for range fleet {
		select {
		case <-f.done:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return time.Since(began), nil
}

// plane is a control plane process.
type plane struct {
	http, nats, key string
	process         *exec.Cmd
}

func (b bench) plane(ctx context.Context) (*plane, error) {
	api, broker, err := freePorts()
	if err != nil {
		return nil, err
	}
	p := &plane{http: "http://" + api + "/v1/bench/dev-servers", nats: "nats://" + broker}
	return p, b.startPlane(ctx, p, "--listen", api, "--nats-listen", broker)
}

// startPlane starts the process of a control plane and waits until it serves.
func (b bench) startPlane(ctx context.Context, p *plane, flags ...string) (err error) {
	data := filepath.Join(b.dir, "controlplane")
	p.process, err = b.program(ctx, "controlplane.log", append([]string{filepath.Join(b.bin, "devserver-controlplane"),
		"--data-dir", data, "--log-level", "warn"}, flags...)...)
	if err != nil {
		return err
	}
	err = until(ctx, "the control plane", func() bool { return p.get("", &struct{}{}) == nil })
	if err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(data, "signing.pub"))
	p.key = string(bytes.TrimSpace(key))
	return err
}

func freePorts() (a, b string, err error) {
	for _, into := range []*string{&a, &b} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		*into = l.Addr().String()
		defer l.Close() // after both are chosen, so that they differ
	}
	return a, b, nil
}

func (p *plane) get(path string, into any) error {
	r, err := http.Get(p.http + path)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, r.Status)
	}
	return json.NewDecoder(r.Body).Decode(into)
}

func (p *plane) present() int {
	var list struct {
		Total int `json:"total"`
	}
	if p.get("?limit=1", &list) != nil {
		return 0
	}
	return list.Total
}

// query posts a job and polls it to its end, as any client of the API would.
func (p *plane) query(ctx context.Context) (time.Duration, error) {
	ids := make([]string, fleet)
	for i := range ids {
		ids[i] = fmt.Sprintf("srv-%02d", i)
	}
	began := time.Now()
	id, err := p.post(map[string]any{"name": "bench", "type": "HDK_QUERY", "server_ids": ids, "items": []map[string]string{{"type": "HDK_QUERY"}}})
	if err != nil {
		return 0, err
	}
	var job job
	err = until(ctx, "the job", func() bool { return p.get("/jobs/"+id, &job) == nil && job.Status == "FINISHED" })
	if job.AbnormalCount != 0 {
		return 0, fmt.Errorf("%d tasks failed", job.AbnormalCount)
	}
	return time.Since(began), err
}

// job is what the API answers of one.
type job struct {
	ID            string `json:"id"`
	Status        string `json:"status"`
	AbnormalCount int    `json:"abnormal_count"`
	Tasks         []struct {
		ServerID string            `json:"server_id"`
		Status   string            `json:"status"`
		Message  string            `json:"message"`
		Late     []json.RawMessage `json:"late"`
	} `json:"tasks"`
}

// post creates a job.
func (p *plane) post(request any) (id string, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	r, err := http.Post(p.http+"/jobs", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	var created job
	if err := json.NewDecoder(r.Body).Decode(&created); err != nil || created.ID == "" {
		return "", fmt.Errorf("POST answered %s: %w", r.Status, err)
	}
	return created.ID, nil
}

// agent starts an agent process of the given program.
func (b bench) agent(ctx context.Context, program, id string, p *plane, root, bootID, extra string) error {
	_, err := b.startAgent(ctx, program, id, p, root, bootID, extra)
	return err
}

func (b bench) startAgent(ctx context.Context, program, id string, p *plane, root, bootID, extra string) (*exec.Cmd, error) {
	config := filepath.Join(b.dir, id+".yaml")
	text := fmt.Sprintf("server_id: %s\nstate_dir: %s\nnats: {servers: [%q], spread: 1s%s}\ntrust: {keys: [%q]}\nhost: {root: %s, boot_id_file: %s}\nlog: {level: warn}\n",
		id, filepath.Join(b.dir, id+"-state"), p.nats, extra, p.key, root, bootID)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return b.program(ctx, id+".log", filepath.Join(b.bin, program), "run", "--config", config)
}
