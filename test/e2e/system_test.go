package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// threeHosts is a fleet of one of each kind whose npu-smi waits for openTools, so
// that there is something to kill.
func threeHosts(t *testing.T, configure ...func(*npuHost)) (f *fleet, servers []string) {
	f = newFleet(t)
	for _, model := range []fakehost.Model{fakehost.A2, fakehost.A3, fakehost.P310} {
		h := f.add("host-"+string(model), model, fakehost.Options{})
		h.gateTool()
		for _, change := range configure {
			change(h)
		}
		h.start()
		servers = append(servers, h.server)
	}
	return f, servers
}

func (f *fleet) openTools() {
	for _, h := range f.hosts {
		h.openTool()
	}
}

func (f *fleet) closeTools() {
	for _, h := range f.hosts {
		h.closeTool()
	}
}

func TestSystemAQueryIsAnswered(t *testing.T) {
	t.Parallel()
	f, servers := threeHosts(t)
	f.openTools()
	if j := f.finished(f.query(servers...), nil); j.Type != "ASCEND_SOFTWARE_QUERY" {
		t.Errorf("the job is %+v", j)
	}
	f.said(checkStatuses)
}

func TestSystemWithTheControlPlaneKilled(t *testing.T) {
	t.Parallel()
	f, servers := threeHosts(t)
	id := f.query(servers...)
	for range 4 { // before acceptance, perhaps, and while the tasks run
		f.killPlane()
		f.startPlane()
		if _, err := f.job(id); err != nil {
			t.Fatalf("the job is forgotten: %v", err)
		}
	}
	f.openTools()
	f.finished(id, nil)
	f.said(checkStatuses)
}

func TestSystemWithAgentsKilled(t *testing.T) {
	t.Parallel()
	f, servers := threeHosts(t)
	id := f.query(servers...)
	f.begun(id)
	for range 3 {
		for _, h := range f.hosts {
			h.kill()
			h.start()
		}
	}
	f.openTools()
	f.finished(id, nil)
	f.said(checkStatuses)
}

func TestSystemWithEverythingKilledAtOnce(t *testing.T) {
	t.Parallel()
	f, servers := threeHosts(t)
	id := f.query(servers...)
	f.begun(id)
	f.killPlane()
	for _, h := range f.hosts {
		h.kill()
	}
	f.startPlane()
	for _, h := range f.hosts {
		h.start()
	}
	f.openTools()
	f.finished(id, nil)
	f.said(checkStatuses)
}

func TestSystemWithTheBrokerAwayForLongerThanAnAnswerMayTake(t *testing.T) {
	t.Parallel()
	const answer = time.Second
	f, servers := threeHosts(t, func(h *npuHost) { h.waitsForBroker(answer) })
	id := f.query(servers...)
	f.begun(id)
	f.killPlane()
	f.openTools()
	afterAll(t, 2*answer)
	f.startPlane()
	f.finished(id, nil)
	f.said(checkStatuses)
}

func TestSystemWithAHostThatRestarts(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.add("host-1", fakehost.A2, fakehost.Options{})
	h.gateTool()
	h.boots()
	id := f.query("host-1")
	f.begun(id)
	h.restarts()
	h.openTool()
	f.finished(id, nil)
	f.said(checkStatuses)
}

func TestSystemWithStreamsDeleted(t *testing.T) {
	t.Parallel()
	f, servers := threeHosts(t)
	idle := f.add("host-idle", fakehost.A2, fakehost.Options{}) // which has no mailbox
	idle.start()
	f.openTools()
	before := f.query(servers...)
	f.finished(before, nil)
	f.closeTools()
	id := f.query(servers...)
	f.begun(id)
	conn, js, err := f.admin()
	f.must(err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
	defer cancel()
	for _, stream := range []string{protocol.FactsStream, protocol.MailboxStream, protocol.StatusStream} {
		f.must(js.DeleteStream(ctx, stream))
	}
	f.openTools()
	f.finished(id, nil)
	f.finished(before, nil)
	f.finished(f.query(idle.server), nil)
	after := f.query(servers...)
	f.finished(after, nil)
	f.saidAgain(before, id, after)
	wait.Until(t, "all hosts say again what they are", func() error {
		out, err := f.ctl("server", "list", "--json")
		if n := strings.Count(string(out), `"name-of-`); err == nil && n < len(servers)+1 {
			err = fmt.Errorf("%d of %d are known by name:\n%s", n, len(servers)+1, out)
		}
		return err
	})
}

func TestSystemWithTheWholeStoreDeleted(t *testing.T) {
	t.Parallel()
	f, servers := threeHosts(t)
	f.openTools()
	before := f.query(servers...)
	f.finished(before, nil)
	f.closeTools()
	id := f.query(servers...)
	f.begun(id)
	f.killPlane()
	f.must(os.RemoveAll(filepath.Join(f.data(), "nats")))
	f.openTools() // some end while there is no broker
	f.startPlane()
	f.finished(id, nil) // rebuilt from what the agents have
	f.finished(before, nil)
	after := f.query(servers...)
	f.finished(after, nil)
	f.saidAgain(before, id, after)
}
