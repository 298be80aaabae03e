package view

import (
	"fmt"
	"time"

	"devserver-agent/controlplane/jobs"
)

// held is why nothing new of a job is handed out, or "".
func (v *View) held(j *job) string {
	if j.halt != nil {
		return fmt.Sprintf("%s of the job had failed (max_failures), so nothing more is handed out", count(j.record.MaxFailures, "task"))
	}
	return v.forbidden(j)
}

// forbidden is by whose order nothing new of a job is handed out, or "". What
// mailboxes list and nobody has accepted is taken back then.
func (v *View) forbidden(j *job) string {
	switch {
	case v.fleet.Stopped != nil:
		return "the whole fleet is stopped " + since(*v.fleet.Stopped)
	case j.record.Paused != nil:
		return "the job is paused " + since(*j.record.Paused)
	}
	return ""
}

// stand says what there is to say of how a job goes on, or "", and who stopped
// the whole fleet if tasks of the job wait for that.
func (v *View) stand(j *job) (message string, stopped *jobs.Order) {
	switch {
	case j.record.Cancelled != nil:
		return "cancelled " + since(*j.record.Cancelled), nil
	case j.halt != nil && j.open == 0:
		return fmt.Sprintf("ended early, because %s had failed (max_failures): %d of %d were never handed out, and nothing was started there",
			count(j.record.MaxFailures, "task"), j.howMany((*task).withheld), len(j.tasks)), nil
	case j.open == 0 || j.record.DeletedAt != 0:
		return "", nil
	}
	if why := v.held(j); why != "" {
		waiting := j.howMany(func(t *task) bool { return t.verdict == nil && t.acceptedBy == "" })
		if waiting > 0 {
			stopped = v.fleet.Stopped
		}
		return fmt.Sprintf("%s; what runs goes on, %s", why, waits(waiting)), stopped
	}
	if j.record.Waits() {
		waiting := j.howMany(func(t *task) bool { return t.verdict == nil && t.acceptedBy == "" && !t.turn })
		if waiting > 0 {
			return waits(waiting) + " for a slot: " + j.slots(), nil
		}
	}
	return "", nil
}

func (j *job) howMany(are func(*task) bool) (n int) {
	for _, t := range j.tasks {
		if are(t) {
			n++
		}
	}
	return n
}

// waiting says what a task that nobody has accepted waits for, besides its host.
func (v *View) waiting(t *task) string {
	why := v.held(t.job)
	revoked, revocation := t.job.record.Revoked()
	switch {
	case revoked != 0:
		return revocation + "; the host is asked whether it had accepted the task"
	case why != "":
		return "not handed out: " + why
	case !t.turn:
		return "waits for a slot: " + t.job.slots()
	}
	return ""
}

func (j *job) slots() string {
	return "the job may have " + count(j.record.MaxConcurrent, "server") + " at work at once"
}

func since(o jobs.Order) string {
	text := fmt.Sprintf("since %s by %s", stamp(o.At), o.By)
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func waits(n int) string {
	if n == 1 {
		return "1 task waits"
	}
	return fmt.Sprintf("%d tasks wait", n)
}
