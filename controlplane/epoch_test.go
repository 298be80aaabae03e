package controlplane

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// forgetful is a control plane and a way to have its broker lose streams. Meanwhile
// nothing of what the control plane says gets through: a server that is asked for a stream
// while it is about to delete it makes one that cannot be written to.
func forgetful(t *testing.T) (p *plane, lose func(streams ...string)) {
	t.Helper()
	s := startNATS(t, brokertest.Options(t.TempDir()), true)
	var losing sync.RWMutex
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: "nats://" + front(t, s, func(int, []byte) bool {
		losing.RLock()
		defer losing.RUnlock()
		return true
	})}
	js := brokertest.JetStream(t, s.ClientURL())
	return startPlane(t, opts), func(streams ...string) {
		t.Helper()
		losing.Lock()
		defer losing.Unlock()
		for _, name := range streams {
			if err := js.DeleteStream(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
	}
}

// newEpoch waits until the streams were made anew and read.
func (p *plane) newEpoch(before string) {
	p.t.Helper()
	wait.Until(p.t, "another epoch has begun", func() error {
		if g := p.current.Load(); g == nil || g.epoch.ID == before {
			return errorf("it has not")
		}
		return nil
	})
}

func TestDeletedStreamsAreAnotherEpochAndNoJobIsLost(t *testing.T) {
	t.Parallel()
	for _, deleted := range [][]string{
		{protocol.MailboxStream},
		{protocol.StatusStream},
		{protocol.MailboxStream, protocol.StatusStream},
		{protocol.MailboxStream, protocol.StatusStream, protocol.OutputStream, protocol.FactsStream, protocol.NoticeStream},
		{"KV_" + protocol.JobsBucket, protocol.StatusStream, protocol.MailboxStream},
	} {
		t.Run(deleted[0]+" and so on", func(t *testing.T) {
			t.Parallel()
			p, lose := forgetful(t)
			release := make(chan struct{})
			h := p.host("server-a", func(h *host, task protocol.Task) {
				<-release
				succeed(h, task)
			})
			quiet := p.host("server-b", hold)
			created := p.create("server-a")
			p.until(created.ID, "the task is accepted", func(j job) bool { return j.task("server-a").Phase == "ACCEPTED" })
			quiet.fetch() // a server without tasks has seen its mailbox or none
			before := p.current.Load().epoch.ID
			lose(deleted...)
			p.newEpoch(before)
			wait.Until(t, "the host is told of the epoch", func() error {
				h.fetch()
				if got := h.see().Epoch; deleted[0] != "KV_"+protocol.JobsBucket && got != p.current.Load().epoch.ID {
					return errorf("it knows %s", got)
				}
				return nil
			})
			h.sayAgain()
			close(release)
			j := p.finished(created.ID)
			if got := j.task("server-a"); got.Status != "SUCCESS" || got.ID != created.Tasks[0].ID {
				t.Errorf("task is %+v", got)
			}
			p.mailboxEmpties("server-a")
		})
	}
}

func TestAForgottenStoreIsRebuiltFromWhatHostsSend(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.Broker.Listen = freeAddr(t)
	p := startPlane(t, opts)
	a := p.host("server-a", hold)
	b := p.host("server-b", hold)
	var created job
	p.into(&created, "POST", "/jobs", query("server-a", "server-b"))
	p.until(created.ID, "both have accepted", func(j job) bool {
		return j.task("server-a").Phase == "ACCEPTED" && j.task("server-b").Phase == "ACCEPTED"
	})
	p.Close()
	if err := os.RemoveAll(filepath.Join(opts.DataDir, "nats")); err != nil {
		t.Fatal(err)
	}
	p = startPlane(t, opts)
	if status, _ := p.call("GET", "/jobs/"+created.ID, nil); status != 404 {
		t.Fatalf("the job is known with an empty store: %d", status)
	}
	a.sayAgain()
	rebuilt := p.until(created.ID, "the job is known again", func(j job) bool { return len(j.Tasks) == 2 })
	for i, task := range rebuilt.Tasks {
		if task.ID != created.Tasks[i].ID {
			t.Errorf("task of %s is %s, it was %s", task.ServerID, task.ID, created.Tasks[i].ID)
		}
	}
	b.sayAgain()
	for _, h := range []*host{a, b} {
		for _, task := range h.tasks {
			succeed(h, task)
		}
	}
	if j := p.finished(created.ID); j.Abnormal != 0 || j.Name != "software-query" {
		t.Errorf("job is %+v", j)
	}
}

func TestARestartInTheMiddleLosesNothing(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.Broker.Listen = freeAddr(t)
	p := startPlane(t, opts)
	release := make(chan struct{})
	p.host("server-a", func(h *host, task protocol.Task) { <-release; succeed(h, task) })
	p.host("server-b", succeed)
	created := p.create("server-a", "server-b", "server-absent")
	p.until(created.ID, "one has ended", func(j job) bool { return j.task("server-b").Status == "SUCCESS" })
	p.Close()
	p = startPlane(t, opts)
	close(release)
	p.host("server-absent", succeed)
	j := p.finished(created.ID)
	for _, id := range []string{"server-a", "server-b", "server-absent"} {
		if got := j.task(id); got.Status != "SUCCESS" {
			t.Errorf("task is %+v", got)
		}
		p.mailboxEmpties(id)
	}
}

func TestAFinishedJobNeedsNoStatusStream(t *testing.T) {
	t.Parallel()
	p, lose := forgetful(t)
	p.host("server-a", succeed)
	created := p.create("server-a")
	p.finished(created.ID)
	wait.Until(t, "the verdicts are in the record", func() error {
		record, _, err := p.backend().Store.Get(t.Context(), created.ID)
		if err == nil && len(record.Verdicts) != 1 {
			err = errorf("they are not")
		}
		return err
	})
	before := p.current.Load().epoch.ID
	lose(protocol.StatusStream)
	p.newEpoch(before)
	if j := p.finished(created.ID); j.task("server-a").Message == "" {
		t.Errorf("job is %+v", j)
	}
}
