package controlplane

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// upgrade asks for an upgrade of some servers; change adds to it.
func upgrade(servers []string, change map[string]any) map[string]any {
	body := map[string]any{
		"name": "to-rc3", "type": "HDK_UPGRADE", "server_ids": servers,
		"items": []map[string]any{{"type": "HDK_UPGRADE", "spec": map[string]any{"version": "24.1.rc3.10"}}},
	}
	for key, value := range change {
		body[key] = value
	}
	return body
}

func (p *plane) upgrade(servers []string, change map[string]any) job {
	p.t.Helper()
	var j job
	p.into(&j, "POST", "/jobs", upgrade(servers, change))
	return j
}

func fleetOf(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("server-%02d", i))
	}
	return ids
}

func failing(h *host, task protocol.Task) {
	h.say(task, protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Code: protocol.StepFailed, Message: "the installer ended with 1"})
}

// twoPlanes are two replicas on one broker.
func twoPlanes(t *testing.T) (first, second *plane) {
	t.Helper()
	s := startNATS(t, brokertest.Options(t.TempDir()), true)
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: s.ClientURL()}
	first = startPlane(t, opts)
	other := opts
	other.DataDir, other.SigningKey = t.TempDir(), first.opts.DataDir+"/signing.key"
	return first, startPlane(t, other)
}

func TestNoMoreServersAreAtWorkAtOnceThanMayBe(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d of 20, two replicas", limit), func(t *testing.T) {
			t.Parallel()
			p, other := twoPlanes(t)
			g := newGuard(t, p.NATS(), p.trust(), limit)
			ids := fleetOf(20)
			g.turns = ids
			for _, id := range ids {
				p.host(id, g.with(succeed))
			}
			created := p.upgrade(ids, map[string]any{"max_concurrent": limit})
			if j := p.finished(created.ID); j.Abnormal != 0 || j.Message != "" {
				t.Errorf("job is %+v", j)
			}
			other.finished(created.ID)
			if order := g.handedOut(); len(order) != len(ids) {
				t.Errorf("handed out were %v", order)
			}
			if g.most != limit {
				t.Errorf("at most %d were at work at once", g.most)
			}
		})
	}
}

// A plug-in's type says of itself that it is disruptive, in the facts of its hosts.
func TestDisruptiveWorkOfAPlugInHasTenServersAtWork(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	p.host("server-a", succeed).facts("lite-a",
		protocol.ItemType{Type: "SITE_FIRMWARE", Exclusive: true, Disruptive: true}, protocol.ItemType{Type: "SITE_PROBE", Exclusive: true})
	wait.Until(t, "the facts are known", func() error {
		if status, data := p.call("GET", "/server-a", nil); !contains(string(data), "SITE_FIRMWARE") {
			return errorf("%d %s", status, data)
		}
		return nil
	})
	for kind, most := range map[string]int{"SITE_FIRMWARE": 10, "SITE_PROBE": 0} {
		var j job
		p.into(&j, "POST", "/jobs", map[string]any{"name": "site", "type": kind, "server_ids": []string{"server-a"}, "items": []map[string]any{{"type": kind}}})
		if j.MaxConcurrent != most {
			t.Errorf("%s: max_concurrent is %d, want %d", kind, j.MaxConcurrent, most)
		}
	}
}

func TestAnUpgradeHasTenServersAtWorkUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	for name, test := range map[string]struct {
		body map[string]any
		want int
	}{
		"an upgrade":             {upgrade(fleetOf(2), nil), 10},
		"an upgrade without":     {upgrade(fleetOf(2), map[string]any{"max_concurrent": 0}), 0},
		"an upgrade with 3":      {upgrade(fleetOf(2), map[string]any{"max_concurrent": 3}), 3},
		"a query":                {query(fleetOf(2)...), 0},
		"an upgrade and a query": {upgrade(fleetOf(2), map[string]any{"items": []map[string]any{{"type": "HDK_QUERY"}, {"type": "HDK_UPGRADE", "spec": map[string]any{"version": "1"}}}}), 10},
	} {
		t.Run(name, func(t *testing.T) {
			var j job
			p.into(&j, "POST", "/jobs", test.body)
			if j.MaxConcurrent != test.want {
				t.Errorf("max_concurrent is %d, want %d", j.MaxConcurrent, test.want)
			}
		})
	}
	for _, body := range []map[string]any{
		{"max_concurrent": -1}, {"max_failures": -1}, {"max_concurrent": 1001}, {"max_failures": 1001}, {"max_failures": "3"},
	} {
		if status, data := p.call("POST", "/jobs", upgrade(fleetOf(2), body)); status != 400 {
			t.Errorf("%v: %d %s", body, status, data)
		}
	}
}

func TestAfterTooManyFailuresNothingMoreIsHandedOut(t *testing.T) {
	t.Parallel()
	p, other := twoPlanes(t)
	g := newGuard(t, p.NATS(), p.trust(), 2)
	ids := fleetOf(20)
	hosts := map[string]*host{}
	for _, id := range ids {
		hosts[id] = p.host(id, g.with(failing))
	}
	created := p.upgrade(ids, map[string]any{"max_concurrent": 2, "max_failures": 3})
	j := p.finished(created.ID)
	if diff := fmt.Sprint(j); diff != fmt.Sprint(other.finished(created.ID)) {
		t.Errorf("replicas answer\n%+v\n%+v", j, other.get(created.ID))
	}
	if j.Abnormal < 3 || j.Abnormal > 4 || !j.Halted || !contains(j.Message, "3 tasks had failed", "never handed out") {
		t.Errorf("job is %+v", j)
	}
	failed, cancelled := 0, 0
	for i, task := range j.Tasks {
		handedOut := slices.Contains(g.handedOut(), task.ServerID)
		switch {
		case i < 4 && task.Status == "FAILED":
			if failed++; !handedOut {
				t.Errorf("task is %+v and was not handed out", task)
			}
		case i < 4 && task.Code == "TASK_CANCELLED":
			// It was its turn when the third failed: what its host has of it is not known.
			if cancelled++; task.Status != "DELETE" || !handedOut && len(hosts[task.ServerID].known()) > 0 || len(p.statements(task.ServerID)) > 0 {
				t.Errorf("task is %+v, handed out: %v, mailbox: %v", task, handedOut, p.statements(task.ServerID))
			}
		case task.Status != "DELETE" || task.Code != "TASK_WITHHELD" || !contains(task.Message, "never handed out", "nothing was started") ||
			handedOut || len(hosts[task.ServerID].known()) > 0 || len(p.statements(task.ServerID)) > 0 || len(task.Late) > 0:
			t.Errorf("task is %+v, handed out: %v, mailbox: %v", task, handedOut, p.statements(task.ServerID))
		}
	}
	if failed != j.Abnormal || failed+cancelled > 4 {
		t.Errorf("%d tasks failed and %d were cancelled, the job counts %d", failed, cancelled, j.Abnormal)
	}
	wait.Until(t, "the record says so", func() error {
		record, _, err := p.backend().Store.Get(t.Context(), created.ID)
		if err == nil && (record.Halted == nil || len(record.Verdicts) != 20) {
			err = errorf("it has %+v and %d verdicts", record.Halted, len(record.Verdicts))
		}
		return err
	})
	p.Close()
	p = startPlane(t, p.opts)
	if again := p.get(created.ID); fmt.Sprint(again) != fmt.Sprint(j) {
		t.Errorf("after a restart the job is\n%+v\nit was\n%+v", again, j)
	}
}

func TestWhatWasHandedOutBeforeAHaltIsHeardFirst(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	release, ready := make(chan struct{}), make(chan struct{})
	p.host("server-00", func(h *host, task protocol.Task) { <-release; succeed(h, task) })
	p.host("server-01", func(h *host, task protocol.Task) { <-ready; failing(h, task) })
	created := p.upgrade(fleetOf(5), map[string]any{"max_concurrent": 3, "max_failures": 1})
	wait.Until(t, "the third was handed out", func() error {
		if p.statements("server-02")[protocol.TaskPayload] != 1 {
			return errorf("it was not")
		}
		return nil
	})
	close(ready)
	p.until(created.ID, "the rest has ended, the one at work has not", func(j job) bool {
		return j.task("server-00").Phase == "ACCEPTED" && j.task("server-02").Code == "TASK_CANCELLED" &&
			j.task("server-03").Code == "TASK_WITHHELD" && j.task("server-04").Code == "TASK_WITHHELD" && j.Status == "PROCESSING"
	})
	close(release)
	if j := p.finished(created.ID); j.task("server-00").Status != "SUCCESS" || !j.Halted {
		t.Errorf("job is %+v", j)
	}
	wait.Until(t, "a host that was handed it and never spoke is told to leave it", func() error {
		if got := p.statements("server-02"); got[protocol.CancelPayload] != 1 || got[protocol.TaskPayload] != 0 {
			return errorf("mailbox says %v", got)
		}
		return nil
	})
}

func TestAHostThatSaysItAcceptedWhatWasWithheldIsToldToStop(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	p.host("server-00", failing)
	created := p.upgrade(fleetOf(2), map[string]any{"max_concurrent": 1, "max_failures": 1})
	p.finished(created.ID)
	odd := p.host("server-01", hold)
	task := protocol.Task{TaskID: created.task("server-01").ID, JobID: created.ID}
	odd.say(task, protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted, Message: "accepted"})
	wait.Until(t, "its mailbox has the cancel", func() error {
		if got := p.statements("server-01"); got[protocol.CancelPayload] != 1 {
			return errorf("mailbox says %v", got)
		}
		return nil
	})
	odd.say(task, protocol.Status{Status: protocol.Deleted, Phase: protocol.Done, Code: protocol.TaskCancelled, Message: "cancelled"})
	p.mailboxEmpties("server-01")
	if got := p.get(created.ID).task("server-01"); got.Code != "TASK_WITHHELD" || len(got.Late) != 1 {
		t.Errorf("task is %+v", got)
	}
}

func TestALostHostFreesItsSlotAndItsReportIsLate(t *testing.T) {
	t.Parallel()
	for name, byOperator := range map[string]bool{"by deadline": false, "by an operator's word": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := testOptions(t)
			opts.SilentAfter = 100 * time.Millisecond
			if !byOperator {
				opts.LostAfter = 5 * time.Second // it is seen silent before it is lost
			}
			p := startPlane(t, opts)
			lost := p.host("server-00", func(h *host, task protocol.Task) {
				h.say(task, protocol.Status{Status: protocol.Processing, Phase: protocol.Rebooting, Message: "restarting"})
			})
			p.host("server-01", succeed)
			created := p.upgrade(fleetOf(2), map[string]any{"max_concurrent": 1})
			p.until(created.ID, "the message says since when and in which phase", func(j job) bool {
				return contains(j.task("server-00").Message, "nothing was heard of the host since", "REBOOTING") &&
					contains(j.task("server-01").Message, "waits for a slot")
			})
			if byOperator {
				var out any
				p.into(&out, "POST", "/server-00/lost", nil)
			}
			j := p.finished(created.ID)
			if got := j.task("server-00"); got.Code != "HOST_LOST" || !contains(got.Message, "REBOOTING") || j.task("server-01").Status != "SUCCESS" {
				t.Errorf("job is %+v", j)
			}
			wait.Until(t, "the host that returns is told to stop", func() error {
				lost.fetch()
				lost.mu.Lock()
				defer lost.mu.Unlock()
				if _, ok := lost.cancels[created.task("server-00").ID]; !ok {
					return errorf("it sees no cancel")
				}
				return nil
			})
			for _, task := range lost.known() {
				succeed(lost, task)
			}
			p.mailboxEmpties("server-00")
			if got := p.get(created.ID).task("server-00"); got.Code != "HOST_LOST" || len(got.Late) != 1 {
				t.Errorf("task is %+v, what the host says now is late", got)
			}
		})
	}
}

func TestAnOperatorFreesTheSlotOfAHostThatNeverCame(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	p.host("server-01", succeed)
	created := p.upgrade(fleetOf(2), map[string]any{"max_concurrent": 1})
	var out map[string]any
	p.into(&out, "POST", "/server-00/lost", nil)
	j := p.finished(created.ID)
	if got := j.task("server-00"); got.Status != "DELETE" || got.Code != "TASK_CANCELLED" || j.task("server-01").Status != "SUCCESS" || out["tasks_ended"] != 1.0 {
		t.Errorf("job is %+v, answer was %v", j, out)
	}
	if status, data := p.call("POST", "/server-00/lost", nil); status != 409 {
		t.Errorf("a second time: %d %s", status, data)
	}
}

func TestTheSameUpgradeTwiceIsOneJobWithATokenAndTwoWithout(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	h := p.host("server-00", succeed)
	var ids [4]string
	for i, token := range []string{"once", "once", "", ""} {
		var j job
		p.into(&j, "POST", "/jobs", upgrade(fleetOf(1), map[string]any{"max_failures": 3}), "X-Client-Token", token)
		ids[i] = j.ID
		p.finished(j.ID)
	}
	if ids[0] != ids[1] || ids[2] == ids[3] || ids[0] == ids[2] {
		t.Errorf("jobs are %v", ids)
	}
	if status, _ := p.call("POST", "/jobs", upgrade(fleetOf(1), map[string]any{"max_failures": 4}), "X-Client-Token", "once"); status != 409 {
		t.Errorf("the token with another max_failures: %d", status)
	}
	if tasks, _ := h.heard(); tasks != 3 {
		t.Errorf("the host had %d tasks, want 3", tasks)
	}
}

func TestARolloutThatTheBrokerForgotComesBackPaused(t *testing.T) {
	t.Parallel()
	p, lose := forgetful(t)
	release := make(chan struct{})
	first := p.host("server-00", func(h *host, task protocol.Task) { <-release; succeed(h, task) })
	next := p.host("server-01", succeed)
	created := p.upgrade(fleetOf(2), map[string]any{"max_concurrent": 1})
	p.until(created.ID, "the first has accepted", func(j job) bool { return j.task("server-00").Phase == "ACCEPTED" })
	before := p.current.Load().epoch.ID
	lose(broker.JobsStream, protocol.StatusStream, protocol.MailboxStream)
	p.newEpoch(before)
	first.sayAgain()
	p.until(created.ID, "the job is known again", func(j job) bool { return j.Paused != nil && j.MaxConcurrent == 1 })
	close(release)
	p.until(created.ID, "the first has ended", func(j job) bool { return j.task("server-00").Status == "SUCCESS" })
	p.barrier("server-01", next)
	if tasks, _ := next.heard(); tasks != 1 {
		t.Errorf("server-01 has %d tasks besides the barrier", tasks-1)
	}
	var j job
	p.into(&j, "POST", "/jobs/"+created.ID+"/resume", nil)
	p.finished(created.ID)
}

// barrier returns when the mailbox of a server was written after everything that
// is known now: its host has seen a query that was asked for after it.
func (p *plane) barrier(server string, h *host) {
	p.t.Helper()
	created := p.create(server)
	wait.Until(p.t, "the barrier is in the mailbox of "+server, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, ok := h.tasks[jobs.TaskID(created.ID, server)]; !ok {
			return errorf("it is not")
		}
		return nil
	})
}
