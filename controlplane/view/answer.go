package view

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

// States of a job, by the API's words.
const (
	JobProcessing = "PROCESSING"
	JobFinished   = "FINISHED"
	JobDeleted    = "DELETED"
)

// Job is a job as it stands.
type Job struct {
	jobs.Record
	Message   string      // "" when there is nothing to say
	Stopped   *jobs.Order // the whole fleet is, and tasks of the job wait for that
	Status    string
	Abnormal  int // tasks that failed
	UpdatedAt int64
	Tasks     []Task // nil in lists
}

// Task is a task as it stands.
type Task struct {
	ID, JobID, ServerID string
	ServerName          string // "" until the host told
	CloudServer         protocol.CloudServer
	Status              protocol.State
	Phase               protocol.Phase // "" before acceptance
	Step                string
	Item                int
	Percent             int
	Code                protocol.Code
	Message             string
	AcceptedBy          string
	SilentSince         int64 // 0: the host is not silent
	RebootRequired      bool
	Attempts            int
	Items               []protocol.ItemOutput
	Late                []jobs.Verdict
	CreatedAt           int64
	UpdatedAt           int64
	Version             uint64 // grows with every change
}

// Ended reports whether the task has its verdict.
func (t Task) Ended() bool { return t.Status.Terminal() }

// Job answers for one job with its tasks.
func (v *View) Job(id string) (Job, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	j := v.jobs[id]
	if j == nil {
		return Job{}, false
	}
	now := time.Now()
	out := v.snapshotJob(j, now)
	out.Tasks = make([]Task, 0, len(j.tasks))
	for _, t := range j.tasks {
		out.Tasks = append(out.Tasks, v.snapshotTask(t, now))
	}
	return out, true
}

// List answers with the jobs that keep says yes to, newest first, without their
// tasks. keep must not call the view.
func (v *View) List(keep func(Job) bool) []Job {
	v.mu.RLock()
	defer v.mu.RUnlock()
	now := time.Now()
	var out []Job
	for _, j := range v.jobs {
		if answer := v.snapshotJob(j, now); keep(answer) {
			out = append(out, answer)
		}
	}
	sort.Slice(out, func(i, k int) bool {
		a, b := out[i], out[k]
		return a.CreatedAt > b.CreatedAt || a.CreatedAt == b.CreatedAt && a.ID < b.ID
	})
	return out
}

func (v *View) snapshotJob(j *job, now time.Time) Job {
	out := Job{Record: j.record, Status: JobProcessing, Abnormal: j.failed, UpdatedAt: j.updated}
	switch {
	case j.record.DeletedAt != 0:
		out.Status = JobDeleted
	case j.ended(now):
		out.Status = JobFinished
	}
	out.Halted = j.halt
	out.Message, out.Stopped = v.stand(j)
	return out
}

func (v *View) snapshotTask(t *task, now time.Time) Task {
	out := Task{
		ID: t.id, JobID: t.job.record.ID, ServerID: t.server.id, Status: protocol.Processing,
		Phase: t.last.Phase, Step: t.last.Step, Item: t.last.Item, Percent: t.last.Percent,
		Code: t.last.Code, AcceptedBy: t.acceptedBy, RebootRequired: t.last.RebootRequired,
		Attempts: t.last.Attempts, Late: slices.Clone(t.late),
		CreatedAt: t.job.record.CreatedAt, UpdatedAt: t.updated, Version: t.version,
	}
	if t.server.facts != nil {
		out.ServerName, out.CloudServer = t.server.facts.ServerName, t.server.facts.CloudServer
	}
	if d := t.verdict; d != nil {
		out.Status, out.Phase, out.Code, out.Message = d.Status, d.Phase, d.Code, d.Message
		out.RebootRequired, out.Attempts, out.Items = d.RebootRequired, d.Attempts, d.Items
		if d.Status == protocol.Success {
			out.Percent = 100
		}
		return out
	}
	if since := v.silentSince(t.server, now); !since.IsZero() {
		out.SilentSince = since.UnixMilli()
	}
	out.Message = v.message(t, out)
	return out
}

// message says how a task without a verdict stands.
func (v *View) message(t *task, snapshot Task) string {
	since, until := stamp(snapshot.SilentSince), stamp(t.job.record.ExpiresAt)
	if t.acceptedBy == "" {
		if why := v.waiting(t); why != "" {
			return why
		}
	}
	switch {
	case t.acceptedBy == "" && !t.server.known():
		return fmt.Sprintf("server %s has never been seen; the task waits for it until %s", t.server.id, until)
	case t.acceptedBy == "" && snapshot.SilentSince != 0:
		return fmt.Sprintf("not accepted yet: nothing was heard of the host since %s; the task waits for it until %s", since, until)
	case snapshot.SilentSince != 0 && t.last.Phase != "":
		text := fmt.Sprintf("nothing was heard of the host since %s, it was in phase %s", since, t.last.Phase)
		if t.last.Message != "" {
			text += ": " + t.last.Message
		}
		return text
	case snapshot.SilentSince != 0:
		return fmt.Sprintf("nothing was heard of the host since %s, it had accepted the task", since)
	}
	return t.last.Message
}
