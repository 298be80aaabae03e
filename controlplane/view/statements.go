package view

import (
	"encoding/json"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

// Statement is one thing a mailbox should say. Type is its payload type.
type Statement struct {
	Type, TaskID string
	Item         int // of a resend
	Payload      []byte
}

// Wanted lists what a server's mailbox should say by what is known here:
// tasks that may be accepted now, cancels that the host has not answered, and
// output that is missing. Nothing past its expires_at is wanted.
func (v *View) Wanted(id string, now time.Time) []Statement {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := v.servers[id]
	if s == nil {
		return nil
	}
	var wanted []Statement
	for _, t := range s.active {
		if v.offered(t) && now.UnixMilli() < t.job.record.ExpiresAt {
			wanted = append(wanted, Statement{Type: protocol.TaskPayload, TaskID: t.id, Payload: t.job.record.Payload(id)})
		}
		if cancel, ok := t.cancel(); ok && now.UnixMilli() < cancel.ExpiresAt {
			wanted = append(wanted, statement(protocol.CancelPayload, t.id, 0, cancel))
		}
		for item, from := range t.resend {
			wanted = append(wanted, statement(protocol.ResendPayload, t.id, item,
				protocol.Resend{TaskID: t.id, ServerID: id, Item: item, From: from}))
		}
	}
	return wanted
}

func statement(payloadType, task string, item int, value any) Statement {
	payload, err := json.Marshal(value)
	if err != nil { // strings and numbers only
		panic(err)
	}
	return Statement{Type: payloadType, TaskID: task, Item: item, Payload: payload}
}

// cancel is the statement that ends a task on its host: the job was deleted or
// cancelled, or this side gave the verdict and the host has not said that it
// ended. What was never handed out needs none.
func (t *task) cancel() (protocol.Cancel, bool) {
	record := t.job.record
	revoked, why := record.Revoked()
	switch {
	case t.hostEnded, t.withheld(), t.verdict == nil && !t.turn && t.acceptedBy == "":
		return protocol.Cancel{}, false
	case revoked != 0:
		return jobs.CancelOf(record.ID, t.server.id, why, revoked), true
	case t.verdict != nil:
		return jobs.CancelOf(record.ID, t.server.id, "the control plane ended the task: "+string(t.verdict.Code), t.verdict.At), true
	}
	return protocol.Cancel{}, false
}

// Settled reports whether a statement that a mailbox lists has done its work by
// what is known here: a task's when a terminal status of it is in the stream, or
// nobody accepted it and an operator has its job hand out nothing now, a
// cancel's when the host has answered or it has run out, a resend's when all
// output was seen. It is false for a task that is not known.
func (v *View) Settled(listed Statement, now time.Time) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	t := v.tasks[listed.TaskID]
	if t == nil {
		return false
	}
	switch listed.Type {
	case protocol.TaskPayload:
		return t.verdict != nil || t.acceptedBy == "" && v.forbidden(t.job) != ""
	case protocol.CancelPayload:
		cancel, wanted := t.cancel()
		return t.verdict != nil && (!wanted || now.UnixMilli() >= cancel.ExpiresAt)
	case protocol.ResendPayload:
		_, missing := t.resend[listed.Item]
		return t.outputSeen && !missing
	}
	return false
}

// Busy lists the servers whose mailboxes should say something.
func (v *View) Busy() (servers []string) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for id, s := range v.servers {
		if len(s.active) > 0 {
			servers = append(servers, id)
		}
	}
	return servers
}

// Accepted tells which installation accepted a task, or "".
func (v *View) Accepted(task string) string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if t := v.tasks[task]; t != nil {
		return t.acceptedBy
	}
	return ""
}

// Load is how many tasks of a server have no verdict, and how many bytes of a
// mailbox its statements take.
func (v *View) Load(id string) (open, bytes int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := v.servers[id]
	if s == nil {
		return 0, 0
	}
	for _, t := range s.active {
		bytes += EnvelopeBytes(256) // its cancel
		if t.verdict == nil {
			open++
			bytes += EnvelopeBytes(len(t.job.record.Body) + 256)
		}
	}
	return open, bytes
}

// EnvelopeBytes is about what a payload takes in a mailbox.
func EnvelopeBytes(payload int) int { return payload/3*4 + 260 }

// Verdict answers for the end of a task: whose it was, and what it said.
func (v *View) Verdict(task string) (server string, verdict jobs.Verdict, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	t := v.tasks[task]
	if t == nil || t.verdict == nil {
		return "", jobs.Verdict{}, false
	}
	return t.server.id, *t.verdict, true
}

// SetMissing tells from where on the output of each item of an ended task is
// missing; nil when all of it was seen.
func (v *View) SetMissing(taskID string, from map[int]int64) {
	v.mu.Lock()
	t := v.tasks[taskID]
	if t == nil || t.verdict == nil {
		v.mu.Unlock()
		return
	}
	t.resend, t.outputSeen = from, true
	switch {
	case len(from) > 0:
		t.server.active[t.id] = t
	case t.hostEnded:
		delete(t.server.active, t.id)
	}
	server := t.server.id
	v.mu.Unlock()
	v.call(effects{changed: []string{server}})
}

// EndedSince lists the tasks whose hosts gave their verdicts after a time.
func (v *View) EndedSince(when time.Time) (tasks []string) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for id, t := range v.tasks {
		if t.verdict != nil && t.hostEnded && t.verdict.At > when.UnixMilli() {
			tasks = append(tasks, id)
		}
	}
	return tasks
}
