package controlplane

import (
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestADeletedJobEndsEverywhere(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	h := p.host("server-a", hold)
	created := p.create("server-a", "server-absent")
	p.until(created.ID, "one has accepted", func(j job) bool { return j.task("server-a").Phase == "ACCEPTED" })
	p.delete(created.ID)
	if got := p.get(created.ID); got.Status != "DELETED" {
		t.Errorf("job is %s at once after DELETE", got.Status)
	}
	wait.Until(t, "the host sees the cancel", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, ok := h.cancels[created.task("server-a").ID]; !ok {
			return errorf("it does not")
		}
		return nil
	})
	for _, task := range h.tasks {
		h.say(task, protocol.Status{Status: protocol.Deleted, Phase: protocol.Done, Code: protocol.TaskCancelled, Message: "cancelled, nothing was changed"})
	}
	p.until(created.ID, "both tasks have ended", func(j job) bool {
		return j.task("server-a").Status == "DELETE" && j.task("server-absent").Status == "DELETE" && j.Status == "DELETED"
	})
	p.mailboxEmpties("server-a")
	wait.Until(t, "the mailbox of a host that never came only cancels", func() error {
		if got := p.statements("server-absent"); got[protocol.CancelPayload] != 1 || got[protocol.TaskPayload] != 0 {
			return errorf("it says %v", got)
		}
		return nil
	})
	late := p.host("server-absent", hold)
	wait.Until(t, "a host that comes later sees the cancel and no task", func() error {
		late.mu.Lock()
		defer late.mu.Unlock()
		if len(late.cancels) != 1 || len(late.tasks) != 0 {
			return errorf("it sees %d cancels and %d tasks", len(late.cancels), len(late.tasks))
		}
		return nil
	})
	late.say(protocol.Task{TaskID: created.task("server-absent").ID}, // a cancel does not name the job
		protocol.Status{Status: protocol.Deleted, Phase: protocol.Done, Code: protocol.TaskCancelled, Message: "tombstone"})
	p.mailboxEmpties("server-absent")
	if got := p.get(created.ID).task("server-absent"); len(got.Late) != 1 {
		t.Errorf("late verdicts are %v, the host's should be one", got.Late)
	}
}

func TestASilentHostIsNamedAndThenLost(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.SilentAfter, opts.LostAfter = 100*time.Millisecond, 5*time.Second // it is seen silent before it is lost
	p := startPlane(t, opts)
	h := p.host("server-a", hold)
	created := p.create("server-a")
	p.until(created.ID, "the message says that the host is silent", func(j job) bool {
		return j.task("server-a").Status == "PROCESSING" && contains(j.task("server-a").Message, "nothing was heard of the host since", "ACCEPTED")
	})
	j := p.finished(created.ID)
	if got := j.task("server-a"); got.Code != "HOST_LOST" || got.Status != "FAILED" || j.Abnormal != 1 {
		t.Fatalf("job is %+v", j)
	}
	wait.Until(t, "the host finds its task cancelled", func() error {
		if got := p.statements("server-a"); got[protocol.CancelPayload] != 1 || got[protocol.TaskPayload] != 0 {
			return errorf("mailbox says %v", got)
		}
		return nil
	})
	for _, task := range h.tasks {
		succeed(h, task)
	}
	p.mailboxEmpties("server-a")
	if got := p.get(created.ID).task("server-a"); got.Code != "HOST_LOST" || len(got.Late) != 1 {
		t.Errorf("task is %+v, what the host says now is late", got)
	}
}

func TestAnOperatorGivesAHostUp(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	if status, _ := p.call("POST", "/server-a/lost", nil); status != 404 {
		t.Errorf("an unknown server: %d", status)
	}
	p.host("server-a", hold)
	created := p.create("server-a")
	p.until(created.ID, "it is accepted", func(j job) bool { return j.task("server-a").Phase == "ACCEPTED" })
	var out map[string]any
	p.into(&out, "POST", "/server-a/lost", nil)
	if out["tasks_ended"] != 1.0 {
		t.Errorf("answer is %v", out)
	}
	if got := p.finished(created.ID).task("server-a"); got.Code != "HOST_LOST" {
		t.Errorf("task is %+v", got)
	}
	if status, _ := p.call("POST", "/server-a/lost", nil); status != 409 {
		t.Errorf("a second time: %d", status)
	}
}

func TestAHeartbeatKeepsAHostFromBeingLost(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.SilentAfter, opts.LostAfter = 50*time.Millisecond, 3*time.Second // longer than a heartbeat may be on its way
	p := startPlane(t, opts)
	h := p.host("server-a", hold)
	other := p.host("server-b", hold)
	created := p.create("server-a", "server-b")
	p.until(created.ID, "only the silent host is lost", func(j job) bool {
		h.heartbeat(h.boot)
		return j.task("server-b").Code == "HOST_LOST"
	})
	if got := p.get(created.ID).task("server-a"); got.Status != "PROCESSING" {
		t.Errorf("task is %+v", got)
	}
	_ = other
}

func TestTwoHostsUnderOneIDGetNoNewTasks(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	h := p.host("server-a", hold)
	for _, boot := range []string{"boot-1", "boot-2", "boot-1", "boot-2"} {
		h.heartbeat(boot)
	}
	wait.Until(t, "POST names the server", func() error {
		status, data := p.call("POST", "/jobs", query("server-a"))
		if status != 409 || !contains(string(data), "server-a", "two running hosts") {
			return errorf("%d %s", status, data)
		}
		return nil
	})
}

// TestAnUnreadableRecordHoldsUpNoOtherJob: neither at the start nor when a host speaks of
// it, and it is there again once it can be read.
func TestAnUnreadableRecordHoldsUpNoOtherJob(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.Broker.Listen = freeAddr(t)
	p := startPlane(t, opts)
	h := p.host("server-a", hold)
	broken := p.create("server-a")
	p.until(broken.ID, "the task is accepted", func(j job) bool { return j.task("server-a").Phase == "ACCEPTED" })
	kv, err := p.broker.JS.KeyValue(t.Context(), protocol.JobsBucket)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), broken.ID)
	if err == nil {
		_, err = kv.PutString(t.Context(), broken.ID, `{"id": 1`)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Close()

	p = startPlane(t, opts)
	for _, task := range h.known() {
		succeed(h, task)
	}
	p.host("server-b", succeed)
	p.finished(p.create("server-b").ID)

	if kv, err = p.broker.JS.KeyValue(t.Context(), protocol.JobsBucket); err == nil {
		_, err = kv.Put(t.Context(), broken.ID, entry.Value())
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	p = startPlane(t, opts)
	if got := p.finished(broken.ID).task("server-a"); got.Status != "SUCCESS" {
		t.Errorf("task is %+v", got)
	}
}
