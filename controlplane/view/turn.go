package view

import (
	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

// deal gives their turns to as many tasks of a job as may be at work at once, in
// the order of its servers, and returns the servers whose turn has come now. A
// task keeps its slot until its verdict.
//
// It follows from the verdicts alone. A replica that has folded fewer of them
// than another gives fewer turns, never others, so any number of replicas
// together hand out no more than the one that knows most may. at is when the
// verdict or acceptance came that is the reason to look, 0 for another one.
func (v *View) deal(j *job, at int64) (turns []string) {
	if j.record.MaxConcurrent == 0 {
		j.window = len(j.tasks)
		return nil
	}
	if revoked, _ := j.record.Revoked(); j.halt != nil || revoked != 0 && at > revoked {
		return nil // also of what is read again after a restart
	}
	free := j.record.MaxConcurrent
	for _, t := range j.tasks {
		if t.verdict == nil && t.acceptedBy != "" {
			free--
		}
	}
	for i, t := range j.tasks {
		if t.acceptedBy != "" || t.verdict != nil && !t.withheld() {
			continue
		}
		turn := free > 0
		free--
		if turn {
			j.window = max(j.window, i+1)
		}
		if turn == t.turn || t.verdict != nil {
			continue
		}
		t.turn = turn
		turns = append(turns, t.server.id)
		v.bump(t, at)
	}
	return turns
}

// withheld reports whether a task ended without ever having had its turn. A host
// that says all the same that it accepted it contradicts that.
func (t *task) withheld() bool {
	return t.verdict != nil && t.verdict.Code == protocol.TaskWithheld && t.acceptedBy == ""
}

// contradicted sees to it that a host which goes on with a task after its verdict
// is told to stop.
func (v *View) contradicted(t *task) effects {
	if t.hostEnded || t.server.active[t.id] != nil {
		return effects{}
	}
	t.server.active[t.id] = t
	return effects{awaited: []string{t.server.id}}
}

// halts ends the turns of a job of which as many tasks have failed as may, if any
// task is left that nobody has accepted.
func (j *job) halts(at int64) {
	if j.halt != nil || j.record.MaxFailures == 0 || j.failed < j.record.MaxFailures {
		return
	}
	for _, t := range j.tasks {
		if t.verdict == nil && t.acceptedBy == "" {
			j.halt = &jobs.Halt{At: at, Window: j.window}
			return
		}
	}
}

// halting reports whether a job was halted and its record does not say so.
func (j *job) halting() bool { return j.halt != nil && j.record.Halted == nil }

// Halting is what the record of a job has to say of its halt; ok is false for a
// job that was not halted, or whose record says so.
func (v *View) Halting(id string) (halt jobs.Halt, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	j := v.jobs[id]
	if j == nil || !j.halting() {
		return jobs.Halt{}, false
	}
	return *j.halt, true
}

// offered reports whether a task may be in its server's mailbox: it was accepted
// and has no verdict, or it is its turn and nothing holds it back.
func (v *View) offered(t *task) bool {
	revoked, _ := t.job.record.Revoked()
	if t.verdict != nil || revoked != 0 {
		return false
	}
	return t.acceptedBy != "" || t.turn && v.held(t.job) == ""
}

// ApplyFleet takes in what holds for all jobs, as it is at revision. An older
// one than is known changes nothing.
func (v *View) ApplyFleet(f jobs.Fleet, revision uint64) {
	v.mu.Lock()
	if revision <= v.ordered {
		v.mu.Unlock()
		return
	}
	v.fleet, v.ordered = f, revision
	var e effects
	for id, s := range v.servers {
		if len(s.active) > 0 {
			e.awaited = append(e.awaited, id)
		}
	}
	for id := range v.watchers {
		v.wake(id)
	}
	v.mu.Unlock()
	v.call(e)
}

// Stopped is who stopped the whole fleet, or nil.
func (v *View) Stopped() *jobs.Order {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.fleet.Stopped
}

// sameOrders reports whether operators have said the same in two records of a
// job.
func sameOrders(a, b jobs.Record) bool {
	return a.DeletedAt == b.DeletedAt && (a.Paused == nil) == (b.Paused == nil) && (a.Cancelled == nil) == (b.Cancelled == nil)
}
