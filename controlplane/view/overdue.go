package view

import (
	"fmt"
	"time"

	"devserver-agent/protocol"
)

// Overdue is a task that the control plane should end, and how.
type Overdue struct {
	TaskID, JobID, ServerID string
	Status                  protocol.State
	Code                    protocol.Code
	Message                 string
	accepted                bool
}

// Rules say when a task is overdue.
type Rules struct {
	// LostAfter is how long an accepted task's host may be silent.
	LostAfter time.Duration
	// Born is when the stream of statuses was made, and Trusted from when on it
	// shows by saying nothing that a task older than itself was never accepted:
	// until then hosts tell again what they have.
	Born, Trusted time.Time
}

// Overdue lists the tasks that nobody else will end.
func (v *View) Overdue(now time.Time, rules Rules) (all []Overdue) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, s := range v.servers {
		for _, t := range s.active {
			if t.verdict != nil {
				continue
			}
			if o, ok := v.overdue(t, now, rules); ok {
				all = append(all, o)
			}
		}
	}
	return all
}

func (v *View) overdue(t *task, now time.Time, rules Rules) (Overdue, bool) {
	expires := time.UnixMilli(t.job.record.ExpiresAt)
	switch {
	case t.acceptedBy != "":
		if now.Sub(v.lastHeard(t.server)) < rules.LostAfter {
			return Overdue{}, false
		}
		return v.lost(t, fmt.Sprintf("longer than %s", rules.LostAfter)), true
	case now.Before(rules.Trusted) && t.job.record.Created().Before(rules.Born):
		return Overdue{}, false
	case t.job.record.DeletedAt != 0:
		return t.overdue(protocol.Deleted, protocol.TaskCancelled, "the job was deleted before the host accepted the task; nothing was started"), true
	case now.After(expires.Add(protocol.ExpiryGrace)):
		return t.overdue(protocol.Failed, protocol.TaskExpired, fmt.Sprintf(
			"the host did not accept the task before it expired at %s; nothing was started; %s",
			expires.UTC().Format(time.RFC3339), v.whySilent(t.server, now))), true
	}
	return Overdue{}, false
}

func (v *View) whySilent(s *server, now time.Time) string {
	if !s.known() {
		return "the server has never been seen: check its id and that its agent runs"
	}
	if since := v.silentSince(s, now); !since.IsZero() {
		return "nothing was heard of the host since " + since.UTC().Format(time.RFC3339)
	}
	return "the host is connected: see its notices for what it refused"
}

func (v *View) lost(t *task, why string) Overdue {
	phase := t.last.Phase
	if phase == "" {
		phase = protocol.Accepted
	}
	o := t.overdue(protocol.Failed, protocol.HostLost, fmt.Sprintf(
		"nothing was heard of the host since %s (%s), it was in phase %s; its state is not known; when it returns it does nothing more for this task; query it before the next job",
		v.lastHeard(t.server).UTC().Format(time.RFC3339), why, phase))
	o.accepted = true
	return o
}

func (t *task) overdue(status protocol.State, code protocol.Code, message string) Overdue {
	return Overdue{
		TaskID: t.id, JobID: t.job.record.ID, ServerID: t.server.id,
		Status: status, Code: code, Message: message,
	}
}

// LostTasks lists a server's accepted tasks of a project, to be ended because
// an operator gave the host up.
func (v *View) LostTasks(project, id string) (all []Overdue) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := v.servers[id]
	if s == nil {
		return nil
	}
	for _, t := range s.active {
		if t.verdict == nil && t.acceptedBy != "" && t.job.record.ProjectID == project {
			all = append(all, v.lost(t, "an operator gave it up"))
		}
	}
	return all
}

// StillOpen reports whether a task is as it was when o was found: without a
// verdict, and not accepted in the meantime.
func (v *View) StillOpen(o Overdue) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	t := v.tasks[o.TaskID]
	return t != nil && t.verdict == nil && (t.acceptedBy != "") == o.accepted
}
