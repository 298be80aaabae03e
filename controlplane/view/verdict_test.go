package view

import (
	"fmt"
	"testing"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

var (
	start  = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	record = newRecord("server-a", "server-b")
)

func newRecord(servers ...string) jobs.Record {
	r, err := jobs.New(jobs.Request{
		ProjectID: "p", Name: "q", Type: "ASCEND_SOFTWARE_QUERY", TemplateID: "t", UserName: "local",
		Items: []protocol.Item{{Type: "HDK_QUERY"}}, Servers: servers,
	}, start, time.Hour)
	if err != nil {
		panic(err)
	}
	return r
}

func newView() *View {
	v := New(Options{})
	v.ApplyRecord(record, 1)
	return v
}

// status is one of server-a's task, by installation i.
func status(seq int, state protocol.State, change ...func(*protocol.Status)) protocol.Status {
	s := protocol.Status{
		TaskID: jobs.TaskID(record.ID, "server-a"), JobID: record.ID, ServerID: "server-a", InstallationID: "i",
		Seq: seq, Status: state, Phase: protocol.Running, Message: fmt.Sprintf("%s %d", state, seq),
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func TestWhoGivesTheVerdict(t *testing.T) {
	byUs := func(s *protocol.Status) { s.InstallationID, s.Seq, s.Code = "", 0, protocol.HostLost }
	other := func(s *protocol.Status) { s.InstallationID = "other" }
	type step struct {
		on      string // subject's server
		s       protocol.Status
		outcome Outcome
	}
	for name, test := range map[string]struct {
		steps  []step
		status protocol.State
		text   string
		late   int
	}{
		"the first terminal status is the verdict": {
			[]step{{"server-a", status(1, protocol.Processing), Taken}, {"server-a", status(2, protocol.Success), Taken}},
			protocol.Success, "SUCCESS 2", 0,
		},
		"a later one is late and changes nothing": {
			[]step{{"server-a", status(2, protocol.Success), Taken}, {"server-a", status(3, protocol.Failed), Late}},
			protocol.Success, "SUCCESS 2", 1,
		},
		"the same one again is only repeated": {
			[]step{{"server-a", status(2, protocol.Success), Taken}, {"server-a", status(2, protocol.Success), Repeated}},
			protocol.Success, "SUCCESS 2", 0,
		},
		"a transition after the verdict is late": {
			[]step{{"server-a", status(2, protocol.Success), Taken}, {"server-a", status(3, protocol.Processing), Late}},
			protocol.Success, "SUCCESS 2", 0,
		},
		"an older transition after a newer one is repeated": {
			[]step{{"server-a", status(2, protocol.Processing), Taken}, {"server-a", status(1, protocol.Processing), Repeated}},
			protocol.Processing, "PROCESSING 2", 0,
		},
		"progress follows its transition": {
			[]step{{"server-a", status(1, protocol.Processing), Taken}, {"server-a", status(1, protocol.Processing, func(s *protocol.Status) { s.Progress, s.Message = true, "50 %" }), Taken}},
			protocol.Processing, "50 %", 0,
		},
		"a status of another server's task is foreign": {
			[]step{{"server-b", status(1, protocol.Failed, func(s *protocol.Status) { s.ServerID = "server-b" }), Foreign}},
			protocol.Processing, "", 0,
		},
		"a body that names another server than its subject is foreign": {
			[]step{{"server-b", status(1, protocol.Failed), Foreign}},
			protocol.Processing, "", 0,
		},
		"a status of another job is foreign": {
			[]step{{"server-a", status(1, protocol.Failed, func(s *protocol.Status) { s.JobID = "other" }), Foreign}},
			protocol.Processing, "", 0,
		},
		"a host that saw only the cancel knows no job": {
			[]step{{"server-a", status(1, protocol.Deleted, func(s *protocol.Status) { s.JobID = "" }), Taken}},
			protocol.Deleted, "DELETE 1", 0,
		},
		"a status of an unknown task is unknown": {
			[]step{{"server-a", status(1, protocol.Failed, func(s *protocol.Status) { s.TaskID = "other" }), Unknown}},
			protocol.Processing, "", 0,
		},
		"a state that is none is malformed": {
			[]step{{"server-a", status(1, "DONE"), Malformed}},
			protocol.Processing, "", 0,
		},
		"an installation that is no id is malformed": {
			[]step{{"server-a", status(1, protocol.Failed, func(s *protocol.Status) { s.InstallationID = "../x" }), Malformed}},
			protocol.Processing, "", 0,
		},
		"more dropped than written is malformed": {
			[]step{{"server-a", status(1, protocol.Failed, func(s *protocol.Status) { s.Items = []protocol.ItemOutput{{Bytes: 1, Dropped: 2}} }), Malformed}},
			protocol.Processing, "", 0,
		},
		"the control plane's verdict stands when the host returns": {
			[]step{{"server-a", status(1, protocol.Processing), Taken}, {"server-a", status(0, protocol.Failed, byUs), Taken}, {"server-a", status(2, protocol.Success), Late}},
			protocol.Failed, "FAILED 0", 1,
		},
		"the host's verdict stands before the control plane's": {
			[]step{{"server-a", status(2, protocol.Success), Taken}, {"server-a", status(0, protocol.Failed, byUs), Late}},
			protocol.Success, "SUCCESS 2", 1,
		},
		"another installation may end the task": {
			[]step{{"server-a", status(1, protocol.Processing), Taken}, {"server-a", status(1, protocol.Failed, other), Taken}},
			protocol.Failed, "FAILED 1", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newView()
			for i, s := range test.steps {
				if got := v.ApplyStatus(s.on, s.s, start.Add(time.Duration(i)*time.Second)); got != s.outcome {
					t.Errorf("step %d is %s, want %s", i, got, s.outcome)
				}
			}
			j, _ := v.Job(record.ID)
			got := j.Tasks[0]
			// Without a verdict the message may say first that the host is silent.
			if got.Status != test.status || len(got.Late) != test.late || test.status.Terminal() && got.Message != test.text {
				t.Errorf("task is %+v", got)
			}
		})
	}
}

func TestALateVerdictIsNotCountedForEver(t *testing.T) {
	v := newView()
	for seq := range 100 {
		v.ApplyStatus("server-a", status(seq, protocol.Success), start)
	}
	j, _ := v.Job(record.ID)
	if got := len(j.Tasks[0].Late); got != maxLate {
		t.Errorf("%d late verdicts are kept", got)
	}
}

func TestWhatTheControlPlaneEnds(t *testing.T) {
	const lostAfter, heard = 24 * time.Hour, 10 * time.Second
	after, before := start.Add(time.Second), start.Add(-time.Second)
	expired := start.Add(time.Hour + protocol.ExpiryGrace + time.Second)
	deleted := record
	deleted.DeletedAt = start.Add(time.Minute).UnixMilli()
	accept := func(v *View) { v.ApplyStatus("server-a", status(1, protocol.Processing), start) }
	hear := func(v *View) { v.SetHearing(start) }
	for name, test := range map[string]struct {
		prepare []func(*View)
		now     time.Time
		born    time.Time
		trusted time.Time
		codes   map[string]protocol.Code
	}{
		"nothing before expires_at":                {nil, start.Add(59 * time.Minute), after, start, nil},
		"nothing within the grace":                 {nil, start.Add(65 * time.Minute), after, start, nil},
		"what was never accepted, after it":        {nil, expired, after, start, map[string]protocol.Code{"server-a": protocol.TaskExpired, "server-b": protocol.TaskExpired}},
		"nothing while the stream is younger":      {nil, expired, after, expired.Add(time.Second), nil},
		"what is younger than the stream, at once": {nil, expired, before, expired.Add(time.Second), map[string]protocol.Code{"server-a": protocol.TaskExpired, "server-b": protocol.TaskExpired}},
		"not what was accepted":                    {[]func(*View){hear, accept}, expired, after, start, map[string]protocol.Code{"server-b": protocol.TaskExpired}},
		"not what a mailbox says was accepted":     {[]func(*View){hear, func(v *View) { v.ApplyAcceptance(jobs.TaskID(record.ID, "server-b"), "i") }, accept}, expired, after, start, nil},
		"not what was deleted just now":            {[]func(*View){hear, accept, func(v *View) { v.ApplyRecord(deleted, 2) }}, start.Add(time.Minute + heard), after, start, nil},
		"what is deleted and was never accepted":   {[]func(*View){hear, accept, func(v *View) { v.ApplyRecord(deleted, 2) }}, start.Add(time.Minute + heard + 1), after, start, map[string]protocol.Code{"server-b": protocol.TaskCancelled}},
		"a host that is silent for too long":       {[]func(*View){hear, accept}, start.Add(lostAfter), after, start.Add(48 * time.Hour), map[string]protocol.Code{"server-a": protocol.HostLost}},
		"not a host that could not be heard":       {[]func(*View){accept, func(v *View) { v.SetHearing(start.Add(time.Hour)) }}, start.Add(lostAfter), after, start.Add(48 * time.Hour), nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := newView()
			for _, prepare := range test.prepare {
				prepare(v)
			}
			got := map[string]protocol.Code{}
			for _, o := range v.Overdue(test.now, Rules{LostAfter: lostAfter, HaltGrace: heard, Born: test.born, Trusted: test.trusted}) {
				got[o.ServerID] = o.Code
				if o.Message == "" || !v.StillOpen(o) {
					t.Errorf("overdue is %+v", o)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(test.codes) && len(got)+len(test.codes) > 0 {
				t.Errorf("ends %v, want %v", got, test.codes)
			}
		})
	}
}

func TestAnAcceptanceOnItsWayStopsAVerdict(t *testing.T) {
	v := newView()
	o := v.Overdue(start.Add(2*time.Hour), Rules{LostAfter: time.Hour})
	for _, overdue := range o {
		if overdue.ServerID == "server-a" {
			v.ApplyStatus("server-a", status(1, protocol.Processing), start)
			if v.StillOpen(overdue) {
				t.Error("the task was accepted and would still be ended")
			}
		}
	}
}

func TestTheMailboxWantsNothingPastItsTime(t *testing.T) {
	v := newView()
	if got := v.Wanted("server-a", start); len(got) != 1 || got[0].Type != protocol.TaskPayload {
		t.Errorf("wanted %+v", got)
	}
	if got := v.Wanted("server-a", start.Add(time.Hour)); len(got) != 0 {
		t.Errorf("wanted after expires_at: %+v", got)
	}
	if got := v.Wanted("nobody", start); got != nil {
		t.Errorf("wanted by nobody: %+v", got)
	}
}

func TestARecordSettlesWhatAnotherReplicaFoldedFirst(t *testing.T) {
	v := newView()
	finished := record
	finished.Verdicts = map[string]jobs.Verdict{
		"server-a": {Status: protocol.Success, InstallationID: "i", Seq: 2, At: 1},
		"server-b": {Status: protocol.Failed, InstallationID: "k", Seq: 2, At: 1},
	}
	v.ApplyRecord(finished, 2)
	j, _ := v.Job(record.ID)
	if j.Status != JobFinished || j.Abnormal != 1 {
		t.Errorf("job is %+v", j)
	}
	if got := v.ApplyStatus("server-a", status(2, protocol.Success), start); got != Repeated {
		t.Errorf("its own verdict in the stream is %s", got)
	}
}

func TestARestartIsNoSecondHost(t *testing.T) {
	v := New(Options{})
	beat := func(boot string, at time.Duration) bool {
		v.ApplyPresence("server-a", protocol.Presence{ServerID: "server-a", BootID: boot}, time.Now().Add(at))
		s, _ := v.Server("server-a")
		return s.Duplicate
	}
	for i, boot := range []string{"1", "1", "2", "2", "3"} {
		if beat(boot, time.Duration(i)*time.Second) {
			t.Errorf("boot %s is called a second host", boot)
		}
	}
	if !beat("2", 6*time.Second) {
		t.Error("a boot that comes back is not called a second host")
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"task_id":"`+jobs.TaskID(record.ID, "server-a")+`","job_id":"`+record.ID+`","server_id":"server-a","installation_id":"i","seq":1,"status":"SUCCESS"}`), []byte(`{}`))
	f.Add([]byte(`{"status":"PROCESSING","seq":-1,"items":[{"bytes":-1}]}`), []byte(`{"status":"DELETE"}`))
	f.Fuzz(foldTwo)
}
