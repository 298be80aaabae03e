package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"devserver-agent/protocol"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
	"devserver-agent/test/trial"
)

// plane is the control plane's part, played: it signs statements and lists them
// in the mailbox of one server.
type plane struct {
	t      testing.TB
	server string
	key    ed25519.PrivateKey
	box    protocol.Mailbox
	former []protocol.Mailbox // as they were before each change
}

func newPlane(t testing.TB, server string) *plane {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &plane{t: t, server: server, key: key, box: protocol.Mailbox{ServerID: server, Epoch: "first", AcceptedBy: map[string]string{}}}
}

func (p *plane) trust() protocol.Key { return protocol.KeyOf(p.key) }

// list adds statements.
func (p *plane) list(statements ...any) {
	p.t.Helper()
	p.former = append(p.former, p.copy())
	for _, s := range statements {
		p.box.Statements = append(p.box.Statements, p.seal(s))
	}
}

func (p *plane) seal(statement any) protocol.Envelope {
	p.t.Helper()
	e, err := protocol.Seal(p.key, statement)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

// copy is the mailbox as it is now.
func (p *plane) copy() protocol.Mailbox {
	box := p.box
	box.Statements = append([]protocol.Envelope{}, box.Statements...)
	box.AcceptedBy = map[string]string{}
	for task, installation := range p.box.AcceptedBy {
		box.AcceptedBy[task] = installation
	}
	return box
}

// fold notes who accepted what.
func (p *plane) fold(statuses []protocol.Status) {
	for _, s := range statuses {
		if s.Seq == 1 && !s.Status.Terminal() && p.box.AcceptedBy[s.TaskID] == "" {
			p.box.AcceptedBy[s.TaskID] = s.InstallationID
		}
	}
}

// task makes a task of the given items.
func (p *plane) task(id string, items ...protocol.Item) protocol.Task {
	now := time.Now()
	return protocol.Task{
		TaskID: id, JobID: "job-" + id, ServerID: p.server, Type: "COMMON", Items: items,
		Job:      protocol.Job{ProjectID: "project", Name: "e2e", Type: "COMMON", CreatedAt: protocol.Millis(now), ServerCount: 1, Servers: []string{p.server}},
		IssuedAt: protocol.Millis(now), ExpiresAt: protocol.Millis(now.Add(time.Hour)),
	}
}

func (p *plane) cancel(task string) protocol.Cancel {
	return protocol.Cancel{TaskID: task, ServerID: p.server, ExpiresAt: protocol.Millis(time.Now().Add(time.Hour)), Reason: "the test says so"}
}

// rig is a host, a broker, the network between them and the control plane's
// part.
type rig struct {
	*host
	*hub
	*plane
	net *proxy
	t   testing.TB
}

// newRig has everything but the agent running.
func newRig(t testing.TB, configure ...func(*server.Options)) *rig {
	t.Helper()
	r := &rig{hub: newHub(t, configure...), plane: newPlane(t, "server-1"), net: newProxy(t), t: t}
	r.host = newHost(t, "server-1") // closed first
	r.net.lead(r.hub.address())
	r.configure(r.net.url(), r.trust())
	return r
}

// trial is an item that takes steps, NAME:KIND[:NUMBER] each, and has the host
// alone. Words with an = are further parameters; the word "shared" lets other
// tasks run beside it. A step NAME:gate goes on until open is called.
func (r *rig) trial(words ...string) protocol.Item {
	r.t.Helper()
	item := protocol.Item{Type: trial.Type, Spec: map[string]string{"program": programs.TestAgent.Path(r.t), "starts": r.startsFile()}}
	var steps []string
	for _, word := range words {
		key, value, parameter := strings.Cut(word, "=")
		switch {
		case word == "shared":
			item.Type = trial.SharedType
		case parameter:
			item.Spec[key] = value
		default:
			if name, _, gated := strings.Cut(word, ":"); gated && strings.HasSuffix(word, "gate") {
				word += ":" + r.gate(name)
			}
			steps = append(steps, word)
		}
	}
	item.Spec["steps"] = strings.Join(steps, " ")
	return item
}

func (r *rig) gate(step string) string { return r.path("gate-" + step) }

// open lets the program of a gated step end.
func (r *rig) open(step string) {
	r.t.Helper()
	r.must(os.WriteFile(r.gate(step), nil, 0o600))
}

// give lists a task of one item and stores the mailbox.
func (r *rig) give(id string, words ...string) protocol.Task {
	r.t.Helper()
	task := r.task(id, r.trial(words...))
	r.list(task)
	r.deliver()
	return task
}

// deliver stores the mailbox as it is now.
func (r *rig) deliver() {
	r.t.Helper()
	r.fold(r.statuses())
	r.store(r.box)
}

// accepted waits for a task's first status.
func (r *rig) accepted(task string) {
	r.t.Helper()
	wait.Until(r.t, task+" is accepted", func() error {
		if len(r.of(task)) == 0 {
			return fmt.Errorf("the broker has no status of it")
		}
		return nil
	})
}

// ends waits for a task's verdict, and for the agent to know that everything it
// said has arrived. Then it checks all that must hold of it.
func (r *rig) ends(task string, want protocol.State, code protocol.Code) protocol.Status {
	r.t.Helper()
	wait.Until(r.t, task+" has its verdict", func() error {
		if r.verdict(task) == nil {
			return fmt.Errorf("its statuses are %v", brief(r.of(task)))
		}
		return nil
	})
	v := *r.verdict(task)
	if v.Status != want || v.Code != code {
		r.t.Errorf("%s ended %s %s: %s; want %s %s", task, v.Status, v.Code, v.Message, want, code)
	}
	r.closed(task)
	for _, err := range r.check(task) {
		r.t.Error(err)
	}
	return v
}

func brief(statuses []protocol.Status) (said []string) {
	for _, s := range statuses {
		said = append(said, fmt.Sprintf("%d %s %s %s", s.Seq, s.Status, s.Phase, s.Code))
	}
	return said
}
