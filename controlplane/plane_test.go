package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

const project = "project-1"

// plane is a control plane under test and a client of its HTTP.
type plane struct {
	*ControlPlane
	t    testing.TB
	opts Options
}

// testOptions are quick ones on a store of their own, which outlives the control plane
// but no power cut.
func testOptions(t testing.TB) Options {
	t.Helper()
	return Options{
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), Broker: broker.Options{Listen: "127.0.0.1:0", SyncInterval: time.Hour},
		WatchEvery: 50 * time.Millisecond, RetryEvery: 50 * time.Millisecond, ReaderHeartbeat: 500 * time.Millisecond,
		JudgeEvery: 50 * time.Millisecond, HaltGrace: 300 * time.Millisecond, AuditAfter: 50 * time.Millisecond,
		Log: zaptest.NewLogger(t),
	}
}

func startPlane(t testing.TB, opts Options) *plane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
	defer cancel()
	c, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &plane{c, t, opts}
}

func (p *plane) trust() protocol.Key { return protocol.KeyOf(p.key) }

func (p *plane) host(server string, work func(*host, protocol.Task)) *host {
	p.t.Helper()
	return newHost(p.t, p.NATS(), server, p.trust(), work)
}

// job and task are the fields of answers that tests look at.
type job struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Abnormal int    `json:"abnormal_count"`
	Tasks    []task `json:"tasks"`

	MaxConcurrent int    `json:"max_concurrent"`
	Message       string `json:"message"`
	Halted        bool   `json:"halted"`
	Paused        *order `json:"paused"`
	Cancelled     *order `json:"cancelled"`
	Stopped       *order `json:"stopped"`
}

type order struct{ Since, By, Reason string }

type task struct {
	ID       string           `json:"id"`
	ServerID string           `json:"server_id"`
	Name     string           `json:"server_name"`
	Status   string           `json:"status"`
	Phase    string           `json:"phase"`
	Message  string           `json:"message"`
	Code     string           `json:"code"`
	Late     []map[string]any `json:"late"`
}

func (j job) task(server string) task {
	for _, t := range j.Tasks {
		if t.ServerID == server {
			return t
		}
	}
	return task{}
}

// call asks the API and returns status and body.
func (p *plane) call(method, path string, body any, headers ...string) (int, []byte) {
	p.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		data, err := json.Marshal(body)
		if err != nil {
			p.t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.Addr()+"/v1/"+project+"/dev-servers"+path, reader)
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, data
}

// into asks the API for something that must succeed.
func (p *plane) into(out any, method, path string, body any, headers ...string) {
	p.t.Helper()
	status, data := p.call(method, path, body, headers...)
	if status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %s", method, path, status, data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		p.t.Fatalf("%s %s: %v in %s", method, path, err, data)
	}
}

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

func query(servers ...string) map[string]any {
	return map[string]any{
		"name": "software-query", "type": "HDK_QUERY", "server_ids": servers,
		"items": []map[string]any{{"type": "HDK_QUERY"}},
	}
}

func (p *plane) create(servers ...string) job {
	p.t.Helper()
	var j job
	p.into(&j, "POST", "/jobs", query(servers...))
	return j
}

func (p *plane) get(id string) job {
	p.t.Helper()
	var j job
	p.into(&j, "GET", "/jobs/"+id, nil)
	return j
}

func (p *plane) delete(ids ...string) {
	p.t.Helper()
	var out any
	p.into(&out, "DELETE", "/jobs", map[string]any{"job_ids": ids})
}

// until waits for a job to be as wanted.
func (p *plane) until(id string, wanted string, ok func(job) bool) job {
	p.t.Helper()
	var j job
	wait.Until(p.t, wanted, func() error {
		status, data := p.call("GET", "/jobs/"+id, nil)
		if status != http.StatusOK {
			return fmt.Errorf("%d %s", status, data)
		}
		j = job{}
		if err := json.Unmarshal(data, &j); err != nil {
			return err
		}
		if !ok(j) {
			return fmt.Errorf("job is %s", data)
		}
		return nil
	})
	return j
}

func (p *plane) finished(id string) job {
	p.t.Helper()
	return p.until(id, "the job is FINISHED", func(j job) bool { return j.Status == "FINISHED" })
}

// statements are what a server's mailbox in the broker says, by payload type.
func (p *plane) statements(server string) map[string]int {
	p.t.Helper()
	counts, err := p.readMailbox(server)
	if err != nil {
		p.t.Fatal(err)
	}
	return counts
}

func (p *plane) readMailbox(server string) (counts map[string]int, err error) {
	stream, err := p.broker.JS.Stream(p.t.Context(), protocol.MailboxStream)
	if err != nil {
		return nil, err
	}
	counts = map[string]int{}
	msg, err := stream.GetLastMsgForSubject(p.t.Context(), protocol.MailboxSubject(server))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return counts, nil
	}
	if err != nil {
		return nil, err
	}
	var box protocol.Mailbox
	if err := json.Unmarshal(msg.Data, &box); err != nil {
		return nil, err
	}
	for _, s := range box.Statements {
		counts[s.PayloadType]++
	}
	return counts, nil
}

// mailboxEmpties waits for it, also while a cluster chooses who leads its streams.
func (p *plane) mailboxEmpties(server string) {
	p.t.Helper()
	wait.Until(p.t, "the mailbox of "+server+" says nothing", func() error {
		left, err := p.readMailbox(server)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("it has %v", left)
		}
		return err
	})
}

var addresses atomic.Uint32 // that freeAddr has given

// freeAddr is a loopback address nobody listens on. Each has an IP of its own, so that
// nobody else takes the port while a server is down.
func freeAddr(t testing.TB) string {
	t.Helper()
	n := addresses.Add(1)
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+os.Getpid()%250, n/250, 1+n%250))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func jsonRequest(ctx context.Context, method, url string, body any) (*http.Request, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
}

func decodeOK(resp *http.Response, into any) error {
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errorf("%d %s", resp.StatusCode, data)
	}
	return json.Unmarshal(data, into)
}
