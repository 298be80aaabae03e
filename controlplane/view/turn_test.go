package view

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

func limited(servers, concurrent, failures int) jobs.Record {
	var ids []string
	for i := range servers {
		ids = append(ids, fmt.Sprintf("server-%02d", i))
	}
	r, err := jobs.New(jobs.Request{
		ProjectID: "p", Name: "q", Type: "ASCEND_SOFTWARE_UPGRADE", TemplateID: "t", UserName: "local",
		Items: []protocol.Item{{Type: "HDK_UPGRADE"}}, Servers: ids, MaxConcurrent: concurrent, MaxFailures: failures,
	}, start, time.Hour)
	if err != nil {
		panic(err)
	}
	return r
}

func statusOf(r jobs.Record, server string, seq int, state protocol.State) protocol.Status {
	return protocol.Status{
		TaskID: jobs.TaskID(r.ID, server), JobID: r.ID, ServerID: server, InstallationID: "i",
		Seq: seq, Status: state, Phase: protocol.Running,
	}
}

// offers are the servers whose mailboxes should list their task.
func offers(v *View, r jobs.Record) (servers []string) {
	for _, id := range r.Servers {
		for _, s := range v.Wanted(id, start) {
			if s.Type == protocol.TaskPayload {
				servers = append(servers, id)
			}
		}
	}
	return servers
}

func TestTurnsComeInTheOrderOfTheServers(t *testing.T) {
	r := limited(5, 2, 0)
	v := New(Options{})
	v.ApplyRecord(r, 1)
	say := func(server string, seq int, state protocol.State) {
		t.Helper()
		if got := v.ApplyStatus(server, statusOf(r, server, seq, state), start); got != Taken {
			t.Fatalf("status of %s is %s", server, got)
		}
	}
	for _, step := range []struct {
		server string
		state  protocol.State
		want   []string
	}{
		{"server-01", protocol.Processing, []string{"server-00", "server-01"}},
		{"server-01", protocol.Success, []string{"server-00", "server-02"}},
		{"server-00", protocol.Failed, []string{"server-02", "server-03"}},
		{"server-03", protocol.Deleted, []string{"server-02", "server-04"}},
		{"server-02", protocol.Success, []string{"server-04"}},
	} {
		seq := 1
		if step.state != protocol.Processing {
			seq = 2
		}
		say(step.server, seq, step.state)
		if got := offers(v, r); !slices.Equal(got, step.want) {
			t.Errorf("after %s of %s these are handed out: %v, want %v", step.state, step.server, got, step.want)
		}
	}
}

func TestWhatMayHaveToWaitIsValidAsLongAsATaskCanBe(t *testing.T) {
	for _, test := range []struct {
		servers, concurrent int
		want                time.Duration
	}{{5, 2, protocol.MaxValidity}, {5, 5, time.Hour}, {5, 0, time.Hour}, {1, 10, time.Hour}} {
		r := limited(test.servers, test.concurrent, 0)
		if got := time.Duration(r.ExpiresAt-r.CreatedAt) * time.Millisecond; got != test.want {
			t.Errorf("%d servers, %d at once: valid for %s", test.servers, test.concurrent, got)
		}
	}
}

func TestWhatAHaltEnds(t *testing.T) {
	const grace = time.Minute
	r := limited(6, 3, 1)
	v := New(Options{})
	v.ApplyRecord(r, 1)
	v.SetHearing(start)
	v.ApplyStatus("server-00", statusOf(r, "server-00", 1, protocol.Processing), start)
	v.ApplyStatus("server-01", statusOf(r, "server-01", 1, protocol.Failed), start)
	want := func(now time.Time, want map[string]protocol.Code) {
		t.Helper()
		got := map[string]protocol.Code{}
		for _, o := range v.Overdue(now, Rules{LostAfter: time.Hour, HaltGrace: grace}) {
			got[o.ServerID] = o.Code
			if o.Unlisted != (o.ServerID == "server-02" && o.Code == protocol.TaskWithheld) {
				t.Errorf("%s is to be ended only if it is not listed: %v", o.ServerID, o.Unlisted)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %s it ends %v, want %v", now.Sub(start), got, want)
		}
	}
	never := map[string]protocol.Code{"server-03": protocol.TaskWithheld, "server-04": protocol.TaskWithheld, "server-05": protocol.TaskWithheld}
	want(start.Add(time.Second), never)
	if got := offers(v, r); !slices.Equal(got, []string{"server-00"}) {
		t.Errorf("mailboxes should list %v, only what was accepted should stay", got)
	}
	never["server-02"] = protocol.TaskWithheld // if its mailbox does not list it
	want(start.Add(HaltSettle+time.Second), never)
	never["server-02"] = protocol.TaskCancelled // handed out, and never heard of
	want(start.Add(grace+time.Second), never)
	halt, ok := v.Halting(r.ID)
	if !ok || halt.Window != 3 || halt.At != start.UnixMilli() {
		t.Errorf("halt is %+v, %v", halt, ok)
	}
	noted := r
	noted.Halted = &halt
	v.ApplyRecord(noted, 2)
	if _, again := v.Halting(r.ID); again {
		t.Error("a halt that is in the record is to be written again")
	}
}

// TestNeverMoreThanMayBeHoweverFarReplicasHaveRead lets three replicas read one
// stream at speeds of their own, and begin again from nothing.
func TestNeverMoreThanMayBeHoweverFarReplicasHaveRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "servers")
		concurrent := rapid.IntRange(1, 4).Draw(t, "concurrent")
		failures := rapid.IntRange(0, 3).Draw(t, "failures")
		m := &rollout{t: t, record: limited(n, concurrent, failures), handed: map[string]bool{}, accepted: map[string]bool{}, ended: map[string]bool{}}
		for range 3 {
			m.start()
		}
		m.look()
		t.Repeat(map[string]func(*rapid.T){
			"a host accepts": func(t *rapid.T) { m.host(t, false) },
			"a host ends":    func(t *rapid.T) { m.host(t, true) },
			"a replica reads": func(t *rapid.T) {
				r := rapid.SampledFrom(m.replicas).Draw(t, "replica")
				m.read(r, rapid.IntRange(r.read, len(m.stream)).Draw(t, "up to"))
			},
			"a replica begins again": func(t *rapid.T) {
				i := rapid.IntRange(0, 2).Draw(t, "replica")
				m.replicas = slices.Delete(m.replicas, i, i+1)
				m.start()
			},
			"": func(*rapid.T) { m.look() },
		})
	})
}

type replica struct {
	*View
	read int
}

type rollout struct {
	t        *rapid.T
	record   jobs.Record
	replicas []*replica
	stream   []protocol.Status
	failed   int

	handed, accepted, ended map[string]bool
	halted                  int // handed out when as many had failed as may
}

func (m *rollout) start() {
	r := &replica{View: New(Options{})}
	r.ApplyRecord(m.record, 1)
	m.replicas = append(m.replicas, r)
}

func (m *rollout) read(r *replica, to int) {
	for ; r.read < to; r.read++ {
		s := m.stream[r.read]
		if got := r.ApplyStatus(s.ServerID, s, start); got != Taken {
			m.t.Fatalf("status %d is %s", r.read, got)
		}
	}
}

// host lets a server that was handed its task go on.
func (m *rollout) host(t *rapid.T, ends bool) {
	var may []string
	for id := range m.handed {
		if !m.ended[id] && (ends || !m.accepted[id]) {
			may = append(may, id)
		}
	}
	if len(may) == 0 {
		t.Skip("there is none") // rapid draws another action
	}
	slices.Sort(may)
	id := rapid.SampledFrom(may).Draw(t, "server")
	state := protocol.Processing
	if ends {
		state = rapid.SampledFrom([]protocol.State{protocol.Success, protocol.Failed}).Draw(t, "state")
		m.ended[id] = true
	}
	if state == protocol.Failed {
		if m.failed++; m.failed == m.record.MaxFailures {
			full := &replica{View: New(Options{})}
			full.ApplyRecord(m.record, 1)
			m.read(full, len(m.stream))
			m.halted = full.jobs[m.record.ID].window
		}
	}
	m.accepted[id] = true
	m.stream = append(m.stream, statusOf(m.record, id, len(m.stream)+1, state))
}

// look checks what all replicas together have handed out.
func (m *rollout) look() {
	for _, r := range m.replicas {
		for _, id := range offers(r.View, m.record) {
			m.handed[id] = true
		}
	}
	atWork := 0
	for id := range m.handed {
		if !m.ended[id] {
			atWork++
		}
		if place := slices.Index(m.record.Servers, id); m.halted > 0 && place >= m.halted {
			m.t.Fatalf("%s was handed its task after %d failures", id, m.failed)
		}
	}
	if atWork > m.record.MaxConcurrent {
		m.t.Fatalf("%d are at work, %d may be", atWork, m.record.MaxConcurrent)
	}
}
