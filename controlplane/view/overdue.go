package view

import (
	"fmt"
	"strings"
	"time"

	"devserver-agent/protocol"
)

// Overdue is a task that the control plane should end, and how.
type Overdue struct {
	TaskID, JobID, ServerID string
	Status                  protocol.State
	Code                    protocol.Code
	Message                 string
	// Unlisted says that it should be ended only if its mailbox does not list it.
	Unlisted bool
	accepted bool
}

// HaltSettle is how long after a job was halted a mailbox may still be written
// by who did not know of it.
const HaltSettle = 2 * time.Second

// Rules say when a task is overdue.
type Rules struct {
	// LostAfter is how long an accepted task's host may be silent.
	LostAfter time.Duration
	// HaltGrace is how long after its job was halted, cancelled or deleted a host
	// has to say that it had accepted what it may have been handed.
	HaltGrace time.Duration
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
	}
	if o, ok := t.revoked(now, rules.HaltGrace); ok {
		return o, ok
	}
	if o, ok := t.halted(now, rules.HaltGrace); ok {
		return o, ok
	}
	if now.After(expires.Add(protocol.ExpiryGrace)) {
		return t.overdue(protocol.Failed, protocol.TaskExpired, fmt.Sprintf(
			"The host did not accept the task before it expired at %s. Nothing was started. %s",
			stamp(t.job.record.ExpiresAt), v.whyNot(t, now))), true
	}
	return Overdue{}, false
}

// revoked ends a task that nobody accepted before its job was deleted or
// cancelled. The mailbox of a task that had its turn has a cancel by now, which
// does not tell whether it had the task before: the host is heard first.
func (t *task) revoked(now time.Time, grace time.Duration) (Overdue, bool) {
	at, why := t.job.record.Revoked()
	why = capital(why)
	switch {
	case at == 0:
		return Overdue{}, false
	case !t.turn:
		return t.overdue(protocol.Deleted, protocol.TaskWithheld, why+" before the task's turn came: it was never handed out and nothing was started. "+
			"Create a job for this server if the work is still wanted."), true
	}
	return t.unheard(why), now.Sub(time.UnixMilli(at)) > grace
}

// halted ends a task that nobody accepted before its job was halted. A host that
// was handed it just before may have begun, and is heard first.
func (t *task) halted(now time.Time, grace time.Duration) (Overdue, bool) {
	halt := t.job.halt
	if halt == nil {
		return Overdue{}, false
	}
	failed := count(t.job.record.MaxFailures, "task")
	age := now.Sub(time.UnixMilli(halt.At))
	if t.place < halt.Window && age > grace {
		return t.unheard(failed + " of the job had failed (max_failures)"), true
	}
	o := t.overdue(protocol.Deleted, protocol.TaskWithheld, fmt.Sprintf(
		"%s of the job had failed (max_failures), so this one was never handed out and nothing was started. See why, then create a job for the servers that are left.", failed))
	o.Unlisted = t.place < halt.Window
	return o, !o.Unlisted || age > HaltSettle
}

// unheard ends a task that its host may have had and did not speak of in time.
func (t *task) unheard(why string) Overdue {
	return t.overdue(protocol.Deleted, protocol.TaskCancelled, why+
		" before the host accepted the task. If the host has taken it all the same, it stops before its next action and what it says is shown as late.")
}

// whyNot says what kept a task from being accepted, and what to do where that is not
// what TASK_EXPIRED says. It is a sentence or several.
func (v *View) whyNot(t *task, now time.Time) string {
	if why := v.held(t.job); why != "" {
		return capital(strings.TrimRight(why, ".")) + ". Create the job again when its work is to go on."
	}
	if !t.turn {
		return "It waited for a slot: " + t.job.slots() + ". Create a job for the servers that are left."
	}
	return v.whySilent(t.server, now)
}

func (v *View) whySilent(s *server, now time.Time) string {
	if !s.known() {
		return "The server has never been seen. Check its id and that its agent runs, then create the job again."
	}
	if since := v.silentSince(s, now); !since.IsZero() {
		return "Nothing was heard of the host since " + since.UTC().Format(time.RFC3339) + "."
	}
	return "The host is connected. See its notices for what it refused, then create the job again."
}

func (v *View) lost(t *task, why string) Overdue {
	phase := t.last.Phase
	if phase == "" {
		phase = protocol.Accepted
	}
	o := t.overdue(protocol.Failed, protocol.HostLost, fmt.Sprintf(
		"Nothing was heard of the host since %s (%s), it was in phase %s. Its state is not known.",
		v.lastHeard(t.server).UTC().Format(time.RFC3339), why, phase))
	o.accepted = true
	return o
}

// capital is a reason as the beginning of a sentence.
func capital(why string) string {
	if why == "" {
		return ""
	}
	return strings.ToUpper(why[:1]) + why[1:]
}

func (t *task) overdue(status protocol.State, code protocol.Code, message string) Overdue {
	return Overdue{
		TaskID: t.id, JobID: t.job.record.ID, ServerID: t.server.id,
		Status: status, Code: code, Message: message,
	}
}

// LostTasks lists a server's tasks of a project that are to be ended because an
// operator gave the host up: those it accepted, and those it did not accept
// while others wait for their slot.
func (v *View) LostTasks(project, id string) (all []Overdue) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := v.servers[id]
	if s == nil {
		return nil
	}
	for _, t := range s.active {
		switch {
		case t.verdict != nil || t.job.record.ProjectID != project:
		case t.acceptedBy != "":
			all = append(all, v.lost(t, "an operator gave it up"))
		case t.turn && t.job.record.Waits():
			all = append(all, t.overdue(protocol.Deleted, protocol.TaskCancelled,
				"An operator gave the host up before it accepted the task. Nothing was started, and its slot is free."))
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
