package controlplane

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// host is an agent as the wire sees it: it subscribes to push, flushes, fetches,
// merges statements and publishes statuses. What it does with a task is work.
type host struct {
	t            testing.TB
	conn         *nats.Conn
	server       string
	installation string
	boot         string
	trust        protocol.Keyring
	work         func(h *host, task protocol.Task)
	ending       func() // called before a verdict is said, if there is one

	mu      sync.Mutex
	epoch   string
	boxes   int // mailboxes seen
	latest  protocol.Mailbox
	tasks   map[string]protocol.Task
	cancels map[string]protocol.Cancel
	resends []protocol.Resend
	said    map[string][]protocol.Status
	refused []error
}

// newHost connects a host; work runs in a goroutine of its own for each new task.
func newHost(t testing.TB, url, server string, key protocol.Key, work func(*host, protocol.Task)) *host {
	t.Helper()
	h := &host{
		t: t, server: server, installation: "inst-" + server, boot: "boot-" + server, work: work,
		trust: protocol.Keyring{Keys: []protocol.Trusted{{Key: key}}},
		tasks: map[string]protocol.Task{}, cancels: map[string]protocol.Cancel{}, said: map[string][]protocol.Status{},
	}
	conn, err := nats.Connect(url, nats.CustomInboxPrefix(protocol.InboxPrefix(server)),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.RetryOnFailedConnect(true),
		nats.ReconnectHandler(func(*nats.Conn) { go h.fetch() }))
	if err != nil {
		t.Fatal(err)
	}
	h.conn = conn
	t.Cleanup(conn.Close)
	if _, err := conn.Subscribe(protocol.PushSubject(server), func(m *nats.Msg) { h.merge(m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	h.fetch()
	return h
}

func (h *host) fetch() {
	reply, err := h.conn.Request(protocol.FetchSubject(h.server), nil, 5*time.Second)
	if err == nil && reply.Header.Get("Status") == "" {
		h.merge(reply.Data)
	}
}

// poll has the host read its mailbox again and again, as agents do. In a cluster a push
// may miss a host that has just subscribed at another server.
func (h *host) poll() {
	tick := time.NewTicker(50 * time.Millisecond)
	var polling sync.WaitGroup
	polling.Go(func() {
		for !h.conn.IsClosed() {
			<-tick.C
			h.fetch()
		}
	})
	h.t.Cleanup(func() { h.conn.Close(); polling.Wait(); tick.Stop() })
}

func (h *host) merge(data []byte) {
	var box protocol.Mailbox
	if err := json.Unmarshal(data, &box); err != nil {
		h.t.Errorf("mailbox of %s cannot be read: %v", h.server, err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch, h.latest = box.Epoch, box
	h.boxes++
	for _, envelope := range box.Statements {
		statement, err := h.trust.Open(envelope, time.Now())
		switch {
		case err != nil:
			h.refused = append(h.refused, err)
		case statement.Cancel != nil:
			h.cancels[statement.Cancel.TaskID] = *statement.Cancel
		case statement.Resend != nil:
			h.resends = append(h.resends, *statement.Resend)
		case statement.Task != nil:
			task := *statement.Task
			if _, known := h.tasks[task.TaskID]; known {
				continue
			}
			h.tasks[task.TaskID] = task
			if h.work != nil {
				go func() {
					h.accept(task, envelope)
					h.work(h, task)
				}()
			}
		}
	}
}

func (h *host) accept(task protocol.Task, envelope protocol.Envelope) {
	h.say(task, protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted, Message: "accepted", Envelope: &envelope})
}

// say publishes a transition of a task until the broker has it.
func (h *host) say(task protocol.Task, s protocol.Status) {
	h.mu.Lock()
	s.TaskID, s.JobID, s.ServerID = task.TaskID, task.JobID, h.server
	s.InstallationID, s.BootID, s.Seq = h.installation, h.boot, len(h.said[task.TaskID])+1
	s.At = time.Now().UnixMilli()
	h.said[task.TaskID] = append(h.said[task.TaskID], s)
	ending := h.ending
	h.mu.Unlock()
	if s.Status.Terminal() && ending != nil {
		ending()
	}
	h.publish(protocol.StatusSubject(h.server), s)
}

// sayAgain publishes everything it ever said, as after another epoch.
func (h *host) sayAgain() {
	h.mu.Lock()
	var all []protocol.Status
	for _, said := range h.said {
		all = append(all, said...)
	}
	h.mu.Unlock()
	for _, s := range all {
		h.publish(protocol.StatusSubject(h.server), s)
	}
}

func (h *host) publish(subject string, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		h.t.Error(err)
		return
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		h.t.Error(err)
		return
	}
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{nats.MsgIdHdr: {hex.EncodeToString(id)}}}
	err = wait.Within(wait.Patience, func() error {
		reply, err := h.conn.RequestMsg(msg, 2*time.Second)
		if err != nil {
			if h.conn.IsClosed() {
				return nil
			}
			return err
		}
		var ack struct {
			Seq uint64 `json:"seq"`
		}
		if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Seq == 0 {
			return fmt.Errorf("the broker acknowledged nothing: %s", reply.Data)
		}
		return nil
	})
	if err != nil {
		h.t.Errorf("%s: %v", subject, err)
	}
}

func (h *host) facts(name string, types ...protocol.ItemType) {
	h.publish(protocol.FactsSubject(h.server), protocol.Facts{
		ServerID: h.server, ServerName: name, CloudServer: protocol.CloudServer{Type: "BMS", ID: "cloud-" + h.server},
		InstallationID: h.installation, BootID: h.boot, Executors: types,
	})
}

func (h *host) heartbeat(boot string) {
	data, err := json.Marshal(protocol.Presence{ServerID: h.server, InstallationID: h.installation, BootID: boot})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.conn.Publish(protocol.PresenceSubject(h.server), data); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) see() protocol.Mailbox {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest
}

// heard is how many tasks and cancels it has seen, and known the tasks.
func (h *host) heard() (tasks, cancels int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.tasks), len(h.cancels)
}

func (h *host) known() (all []protocol.Task) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, task := range h.tasks {
		all = append(all, task)
	}
	return all
}

// succeed ends a task as HDK_QUERY does.
func succeed(h *host, task protocol.Task) {
	h.say(task, protocol.Status{Status: protocol.Processing, Phase: protocol.Running, Message: "running"})
	h.say(task, protocol.Status{Status: protocol.Success, Phase: protocol.Done, Percent: 100, Message: "Driver: 24.1.0.3 | Firmware: 7.5.0.5.220"})
}

// hold accepts a task and does nothing more.
func hold(*host, protocol.Task) {}
