package api

import (
	"net/http"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
)

// jobRoute serves what lies under a job and is not one of its tasks. A pattern
// of its own would clash with jobs/templates/{id}.
func (a *api) jobRoute(w http.ResponseWriter, r *http.Request, b *Backend) error {
	if r.PathValue("what") != "events" {
		return fail(http.StatusNotFound, codeNotFound, "there is no %s", r.URL.Path)
	}
	return a.events(w, r, b)
}

// events follows a job: the event "job" with all of it at first, whenever an
// order changed how it goes on and when it has ended, "task" with one task
// whenever it changed. The stream ends with the job.
func (a *api) events(w http.ResponseWriter, r *http.Request, b *Backend) error {
	changes, stop := b.View.Watch(r.PathValue("id"))
	defer stop()
	j, err := find(r, b, r.PathValue("id"))
	if err != nil {
		return err
	}
	out, err := newSSE(w)
	if err != nil {
		return nil // the client is gone
	}
	if err := out.send("job", a.jobAnswer(j)); err != nil {
		return nil // the client is gone
	}
	sent, stands := versions(j), orders(j)
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	for !ended(j) {
		select {
		case <-r.Context().Done():
			return nil
		case <-b.Done:
			return nil
		case <-beat.C:
			err = out.beat()
		case <-changes:
			var ok bool
			if j, ok = b.View.Job(j.ID); !ok {
				return nil
			}
			if now := orders(j); now != stands && !ended(j) {
				sent, stands = versions(j), now
				err = out.send("job", a.jobAnswer(j))
				break
			}
			err = a.sendTasks(out, j, sent)
		}
		if err != nil {
			return nil // the client is gone
		}
		if ended(j) {
			_ = out.send("job", a.jobAnswer(j)) // nothing follows it
		}
	}
	return nil
}

// standing is what orders make of a job.
type standing struct {
	paused, cancelled, stopped jobs.Order
	halted, deleted            bool
}

func orders(j view.Job) standing {
	s := standing{halted: j.Halted != nil, deleted: j.DeletedAt != 0}
	for to, from := range map[*jobs.Order]*jobs.Order{&s.paused: j.Paused, &s.cancelled: j.Cancelled, &s.stopped: j.Stopped} {
		if from != nil {
			*to = *from
		}
	}
	return s
}

func versions(j view.Job) map[string]uint64 {
	sent := make(map[string]uint64, len(j.Tasks))
	for _, t := range j.Tasks {
		sent[t.ID] = t.Version
	}
	return sent
}

func (a *api) sendTasks(out *sse, j view.Job, sent map[string]uint64) error {
	for _, t := range j.Tasks {
		if version, ok := sent[t.ID]; ok && version == t.Version {
			continue
		}
		if err := out.send("task", a.taskAnswer(t)); err != nil {
			return err
		}
		sent[t.ID] = t.Version
	}
	return nil
}

// ended reports whether nothing more comes of a job.
func ended(j view.Job) bool {
	if j.Status != view.JobDeleted {
		return j.Status == view.JobFinished
	}
	for _, t := range j.Tasks {
		if !t.Ended() {
			return false
		}
	}
	return true
}
