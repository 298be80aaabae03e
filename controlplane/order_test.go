package controlplane

import (
	"net/http"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func (p *plane) tell(id, what string) job {
	p.t.Helper()
	var j job
	p.into(&j, "POST", "/jobs/"+id+"/"+what, map[string]any{"reason": "the first looks odd"})
	return j
}

func TestAPausedJobHandsOutNothingNew(t *testing.T) {
	t.Parallel()
	p, other := twoPlanes(t)
	release := make(chan struct{})
	ids := fleetOf(6)
	hosts := map[string]*host{}
	for _, id := range ids {
		hosts[id] = p.host(id, func(h *host, task protocol.Task) {
			if task.Type == "ASCEND_SOFTWARE_UPGRADE" {
				<-release
			}
			succeed(h, task)
		})
	}
	created := p.upgrade(ids, map[string]any{"max_concurrent": 2})
	p.until(created.ID, "two are at work", func(j job) bool {
		return j.task("server-00").Phase == "ACCEPTED" && j.task("server-01").Phase == "ACCEPTED"
	})
	p.tell(created.ID, "pause")
	other.until(created.ID, "the other replica knows", func(j job) bool { return j.Paused != nil })
	close(release)
	isHeld := func(j job) bool {
		return j.task("server-00").Status == "SUCCESS" && j.task("server-01").Status == "SUCCESS" && j.Status == "PROCESSING" &&
			contains(j.Message, "paused since", "local", "the first looks odd", "4 tasks wait") &&
			contains(j.task("server-02").Message, "not handed out", "the first looks odd")
	}
	p.until(created.ID, "what ran went on", isHeld)
	other.until(created.ID, "what ran went on", isHeld)
	for _, id := range ids[2:] {
		p.barrier(id, hosts[id])
		other.barrier(id, hosts[id])
		if got, _ := hosts[id].heard(); got != 2 {
			t.Errorf("%s was handed %d tasks while its job was paused", id, got-2)
		}
	}
	if j := other.tell(created.ID, "pause"); j.Paused == nil {
		t.Errorf("paused twice it is %+v", j)
	}
	if j := other.tell(created.ID, "resume"); j.Paused != nil {
		t.Errorf("resumed it is %+v", j)
	}
	if j := p.finished(created.ID); j.Abnormal != 0 || j.Paused != nil {
		t.Errorf("job is %+v", j)
	}
	for _, what := range []string{"pause", "resume", "cancel"} {
		if status, data := p.call("POST", "/jobs/"+created.ID+"/"+what, nil); status != http.StatusConflict {
			t.Errorf("%s of a finished job: %d %s", what, status, data)
		}
		if status, data := p.call("POST", "/jobs/no-such-job/"+what, nil); status != http.StatusNotFound {
			t.Errorf("%s of no job: %d %s", what, status, data)
		}
	}
}

func TestAPauseTakesBackWhatNobodyAccepted(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	created := p.create("server-a")
	listed := func(want int) {
		t.Helper()
		wait.Until(t, "the mailbox follows", func() error {
			if got := p.statements("server-a")[protocol.TaskPayload]; got != want {
				return errorf("it lists %d tasks, want %d", got, want)
			}
			return nil
		})
	}
	listed(1)
	p.tell(created.ID, "pause")
	listed(0)
	p.tell(created.ID, "resume")
	listed(1)
	p.host("server-a", succeed)
	p.finished(created.ID)
}

func TestACancelledJobEndsAndStaysInTheList(t *testing.T) {
	t.Parallel()
	p := startPlane(t, testOptions(t))
	h := p.host("server-00", hold)
	waiting := p.host("server-02", hold)
	created := p.upgrade(fleetOf(3), map[string]any{"max_concurrent": 2})
	p.until(created.ID, "one has accepted", func(j job) bool { return j.task("server-00").Phase == "ACCEPTED" })
	first := p.tell(created.ID, "cancel")
	if again := p.tell(created.ID, "cancel"); *again.Cancelled != *first.Cancelled {
		t.Errorf("cancelled twice it is %+v, it was %+v", again.Cancelled, first.Cancelled)
	}
	wait.Until(t, "the host sees the cancel", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if c := h.cancels[created.task("server-00").ID]; c.Reason != "the job was cancelled" {
			return errorf("it sees %+v", c)
		}
		return nil
	})
	for _, task := range h.known() {
		h.say(task, protocol.Status{Status: protocol.Deleted, Phase: protocol.Done, Code: protocol.TaskCancelled, Message: "cancelled"})
	}
	j := p.finished(created.ID)
	if !contains(j.Message, "cancelled since", "the first looks odd") || j.Abnormal != 0 {
		t.Errorf("job is %+v", j)
	}
	for server, code := range map[string]string{"server-00": "TASK_CANCELLED", "server-01": "TASK_CANCELLED", "server-02": "TASK_WITHHELD"} {
		if got := j.task(server); got.Status != "DELETE" || got.Code != code {
			t.Errorf("task is %+v, want %s", got, code)
		}
	}
	if tasks, cancels := waiting.heard(); tasks+cancels > 0 {
		t.Error("a server whose turn never came has heard of the job")
	}
	var list struct{ Data []job }
	p.into(&list, "GET", "/jobs", nil)
	if len(list.Data) != 1 || list.Data[0].Message != j.Message {
		t.Errorf("list is %+v", list)
	}
	if status, data := p.call("POST", "/jobs/"+created.ID+"/pause", nil); status != http.StatusConflict {
		t.Errorf("pause of a cancelled job: %d %s", status, data)
	}
}

type fleet struct {
	Stopped *order `json:"stopped"`
}

func TestAStoppedFleetStaysStoppedAndNothingIsHandedOut(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.Broker.Listen = freeAddr(t)
	p := startPlane(t, opts)
	if status, data := p.call("POST", "/stop", map[string]any{}); status != 400 || !contains(string(data), "reason") {
		t.Errorf("a stop without a reason: %d %s", status, data)
	}
	runs := p.host("server-b", hold)
	running := p.create("server-b")
	p.until(running.ID, "it is accepted", func(j job) bool { return j.task("server-b").Phase == "ACCEPTED" })
	lifted := p.create("server-a")
	wait.Until(t, "it is handed out", func() error {
		if p.statements("server-a")[protocol.TaskPayload] != 1 {
			return errorf("it is not")
		}
		return nil
	})
	var out, again fleet
	p.into(&out, "POST", "/stop", map[string]any{"reason": "rc3 breaks cards"})
	p.into(&again, "POST", "/stop", map[string]any{"reason": "another"})
	if out.Stopped == nil || *again.Stopped != *out.Stopped || out.Stopped.By != "local" || out.Stopped.Since == "" {
		t.Errorf("stop is answered %+v, then %+v", out.Stopped, again.Stopped)
	}
	p.mailboxEmpties("server-a")
	p.Close()
	p = startPlane(t, opts)
	for _, list := range []string{"", "/jobs"} {
		var got fleet
		p.into(&got, "GET", list, nil)
		if got.Stopped == nil || *got.Stopped != *out.Stopped {
			t.Errorf("GET %s says %+v", list, got.Stopped)
		}
	}
	held := p.create("server-b")
	if !contains(held.Message, "the whole fleet is stopped", "rc3 breaks cards") || held.Stopped == nil ||
		!contains(held.task("server-b").Message, "not handed out", "rc3 breaks cards") {
		t.Errorf("job is %+v", held)
	}
	// Its cancel is written into the mailbox after the new job is known.
	p.delete(running.ID)
	wait.Until(t, "what runs can be cancelled", func() error {
		if got := p.statements("server-b"); got[protocol.CancelPayload] != 1 {
			return errorf("mailbox says %v", got)
		}
		return nil
	})
	if tasks, _ := runs.heard(); tasks != 1 {
		t.Errorf("the host has %d tasks", tasks)
	}
	h := p.host("server-a", succeed)
	if tasks, _ := h.heard(); tasks != 0 {
		t.Error("a host that comes now is handed its task")
	}
	p.into(&again, "POST", "/resume", nil)
	if again.Stopped != nil {
		t.Errorf("lifted it is %+v", again.Stopped)
	}
	p.finished(lifted.ID)
	p.until(held.ID, "it is handed out", func(j job) bool { return j.task("server-b").Phase == "ACCEPTED" && j.Stopped == nil })
}

func TestOneReplicaStopsTheFleetForAll(t *testing.T) {
	t.Parallel()
	p, other := twoPlanes(t)
	var out fleet
	p.into(&out, "POST", "/stop", map[string]any{"reason": "wait"})
	wait.Until(t, "the other replica knows", func() error {
		out = fleet{}
		other.into(&out, "GET", "", nil)
		if out.Stopped == nil {
			return errorf("it does not")
		}
		return nil
	})
	h := p.host("server-a", succeed)
	created := other.create("server-a")
	other.into(&out, "POST", "/resume", nil)
	p.finished(created.ID)
	if tasks, _ := h.heard(); tasks != 1 {
		t.Errorf("the host has %d tasks", tasks)
	}
}

func TestSilentServersCanBeListedAlone(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.SilentAfter = 200 * time.Millisecond
	p := startPlane(t, opts)
	silent := p.host("server-silent", func(h *host, task protocol.Task) {
		h.say(task, protocol.Status{Status: protocol.Processing, Phase: protocol.Rebooting, Message: "restarting"})
	})
	p.host("server-idle", hold).facts("idle")
	up := p.host("server-up", hold)
	p.create("server-silent", "server-never")
	wait.Until(t, "the silent ones are listed with phase and since when", func() error {
		up.heartbeat(up.boot)
		var list struct {
			Data []struct {
				ID          string `json:"id"`
				SilentSince string `json:"silent_since"`
				Open        []struct{ Phase string }
			}
		}
		p.into(&list, "GET", "?silent=true", nil)
		if len(list.Data) != 3 || list.Data[0].ID != "server-idle" || list.Data[1].ID != "server-never" || list.Data[2].ID != "server-silent" ||
			list.Data[2].SilentSince == "" || len(list.Data[2].Open) != 1 || list.Data[2].Open[0].Phase != "REBOOTING" {
			return errorf("list is %+v", list)
		}
		p.into(&list, "GET", "?silent=false", nil)
		if len(list.Data) != 1 || list.Data[0].ID != "server-up" {
			return errorf("the others are %+v", list)
		}
		return nil
	})
	silent.heartbeat(silent.boot)
	if status, _ := p.call("GET", "?silent=maybe", nil); status != 400 {
		t.Errorf("silent=maybe: %d", status)
	}
}
