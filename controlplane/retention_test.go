package controlplane

import (
	"errors"
	"testing"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/test/support/wait"
)

func TestADeletedJobIsAnsweredForThirtyDaysAndThenForgotten(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	p := startPlane(t, opts)
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).UnixMilli() }
	recent, hidden, old := p.create("server-a"), p.create("server-a"), p.create("server-a")
	for id, at := range map[string]int64{
		recent.ID: ago(jobs.KeptDeleted - time.Hour), hidden.ID: ago(jobs.KeptDeleted + time.Hour), old.ID: ago(jobs.Forgotten + time.Hour),
	} {
		if _, _, err := p.backend().Store.Delete(t.Context(), id, at); err != nil {
			t.Fatal(err)
		}
	}
	p.Close()
	p = startPlane(t, opts)
	if got := p.get(recent.ID); got.Status != "DELETED" {
		t.Errorf("job is %+v", got)
	}
	for _, id := range []string{hidden.ID, old.ID} {
		if status, data := p.call("GET", "/jobs/"+id, nil); status != 404 {
			t.Errorf("%d %s", status, data)
		}
	}
	wait.Until(t, "the record of the oldest is gone", func() error {
		if _, _, err := p.backend().Store.Get(t.Context(), old.ID); !errors.Is(err, jobs.ErrNotFound) {
			return errorf("error is %v", err)
		}
		return nil
	})
	if _, _, err := p.backend().Store.Get(t.Context(), hidden.ID); err != nil {
		t.Errorf("a record that is hidden but kept: %v", err)
	}
}
