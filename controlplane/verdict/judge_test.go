package verdict

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// deletedJob is a judge on a real stream and a job that was deleted before
// anybody accepted it, as far as its view knows.
func deletedJob(t *testing.T) (*broker.Broker, *Judge, *view.View, jobs.Record) {
	t.Helper()
	b := brokertest.Embedded(t)
	r, err := jobs.New(jobs.Request{
		ProjectID: "p", Name: "q", Type: "ASCEND_SOFTWARE_QUERY", TemplateID: "t", UserName: "local",
		Items: []protocol.Item{{Type: "HDK_QUERY"}}, Servers: []string{"server-a"},
	}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.DeletedAt = time.Now().Add(-time.Hour).UnixMilli()
	v := view.New(view.Options{})
	v.ApplyRecord(r, 1)
	j, err := New(t.Context(), Options{JS: b.JS, View: v})
	if err != nil {
		t.Fatal(err)
	}
	return b, j, v, r
}

func overdue(t *testing.T, v *view.View) view.Overdue {
	t.Helper()
	all := v.Overdue(time.Now(), view.Rules{LostAfter: time.Hour})
	if len(all) != 1 {
		t.Fatalf("overdue: %+v", all)
	}
	return all[0]
}

func statuses(t *testing.T, b *broker.Broker) uint64 {
	t.Helper()
	stream, err := b.JS.Stream(t.Context(), protocol.StatusStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func TestAnAcceptanceThatIsNotFoldedYetStopsTheVerdict(t *testing.T) {
	b, j, v, r := deletedJob(t)
	o := overdue(t, v)
	accepted := protocol.Status{
		TaskID: o.TaskID, JobID: r.ID, ServerID: "server-a", InstallationID: "i", Seq: 1,
		Status: protocol.Processing, Phase: protocol.Accepted,
	}
	data, err := json.Marshal(accepted)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := b.JS.Publish(t.Context(), protocol.StatusSubject("server-a"), data)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.give(t.Context(), o); !errors.Is(err, ErrBehind) {
		t.Errorf("error is %v", err)
	}
	v.ApplyStatus("server-a", accepted, time.Now())
	v.SetFolded(ack.Sequence)
	if err := j.give(t.Context(), o); err != nil {
		t.Error(err)
	}
	if got := statuses(t, b); got != 1 {
		t.Errorf("the stream has %d statuses, a verdict was given over an acceptance", got)
	}
}

func TestAVerdictIsGivenOnceByAllReplicasTogether(t *testing.T) {
	b, j, v, _ := deletedJob(t)
	o := overdue(t, v)
	results := make(chan error)
	for range 8 { // replicas that have folded equally far
		go func() { results <- j.give(t.Context(), o) }()
	}
	given := 0
	for range 8 {
		switch err := <-results; {
		case err == nil:
			given++
		case !errors.Is(err, ErrBehind) && !broker.LostRace(err):
			t.Error(err)
		}
	}
	if given != 1 || statuses(t, b) != 1 {
		t.Errorf("given %d times, the stream has %d", given, statuses(t, b))
	}
}

func TestRunLooksAtOnceWhenAsked(t *testing.T) {
	b, j, _, _ := deletedJob(t)
	j.opts.Every = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); j.Run(ctx) }()
	j.Look()
	wait.For(t, "a verdict is given", func() bool { return statuses(t, b) > 0 })
	cancel()
	<-done
}
