package view

import (
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

// Outcome says what a status was good for.
type Outcome string

// What a status may be good for.
const (
	Taken     Outcome = "taken"     // it moved its task on, or is its verdict
	Repeated  Outcome = "repeated"  // it was known
	Late      Outcome = "late"      // its task had ended
	Foreign   Outcome = "foreign"   // it speaks for another server or of another's task
	Unknown   Outcome = "unknown"   // no job is known that gave this task
	Malformed Outcome = "malformed" // its state is none of the contract
)

// A host can send as much as it likes; this much is kept of one task.
const (
	maxLate          = 8   // verdicts after the verdict
	maxInstallations = 8   // that spoke of it
	maxName          = 128 // bytes of a step or code
)

// ApplyStatus takes in a status that came on server's subject. at is the
// broker's time.
func (v *View) ApplyStatus(server string, s protocol.Status, at time.Time) Outcome {
	v.mu.Lock()
	outcome, e := v.applyStatus(server, s, at)
	v.mu.Unlock()
	v.call(e)
	return outcome
}

func (v *View) applyStatus(server string, s protocol.Status, at time.Time) (Outcome, effects) {
	if s.ServerID != server {
		return Foreign, effects{}
	}
	if !wellFormed(s) {
		return Malformed, effects{}
	}
	t := v.tasks[s.TaskID]
	if t == nil {
		return Unknown, effects{}
	}
	// A host that was cancelled before it saw its task knows no job of it.
	if t.server.id != server || s.JobID != "" && s.JobID != t.job.record.ID {
		return Foreign, effects{}
	}
	if _, spoke := t.taken[s.InstallationID]; !spoke && len(t.taken) >= maxInstallations {
		return Malformed, effects{}
	}
	s.Envelope = nil
	s.Message = protocol.Clip(s.Message)
	s.Percent = min(max(s.Percent, 0), 100)
	if s.InstallationID != "" {
		t.server.heard(at)
		if t.acceptedBy == "" {
			t.acceptedBy = s.InstallationID
		}
	}
	if s.Status.Terminal() {
		return v.applyTerminal(t, s, at)
	}
	return v.applyTransition(t, s, at)
}

// wellFormed reports whether a status keeps the bounds of the contract.
func wellFormed(s protocol.Status) bool {
	if s.Status != protocol.Processing && !s.Status.Terminal() ||
		s.InstallationID != "" && !protocol.ValidID(s.InstallationID) ||
		s.Seq < 0 || s.Item < 0 || s.Item >= protocol.MaxItems || len(s.Items) > protocol.MaxItems ||
		len(s.Step) > maxName || len(s.Code) > maxName || len(s.Phase) > maxName {
		return false
	}
	for _, item := range s.Items {
		if item.Bytes < 0 || item.Dropped < 0 || item.Dropped > item.Bytes {
			return false
		}
	}
	return true
}

func (v *View) applyTransition(t *task, s protocol.Status, at time.Time) (Outcome, effects) {
	if t.verdict != nil {
		return Late, v.contradicted(t)
	}
	newest := t.taken[s.InstallationID]
	if s.Seq < newest || s.Seq == newest && !s.Progress {
		return Repeated, effects{}
	}
	t.taken[s.InstallationID] = s.Seq
	if s.Progress {
		s.Phase = phaseOf(s, t.last)
	}
	first := t.last.TaskID == ""
	t.last = s
	v.bump(t, at.UnixMilli())
	if first {
		return Taken, effects{changed: []string{t.server.id}, awaited: v.deal(t.job, at.UnixMilli())}
	}
	return Taken, effects{}
}

func phaseOf(progress, last protocol.Status) protocol.Phase {
	if progress.Phase == "" {
		return last.Phase
	}
	return progress.Phase
}

func (v *View) applyTerminal(t *task, s protocol.Status, at time.Time) (Outcome, effects) {
	verdict := jobs.Verdict{
		Status: s.Status, Phase: s.Phase, Code: s.Code, Message: s.Message,
		InstallationID: s.InstallationID, Seq: s.Seq, AcceptedBy: t.acceptedBy,
		RebootRequired: s.RebootRequired, Attempts: s.Attempts, Items: s.Items, At: at.UnixMilli(),
	}
	e := effects{changed: []string{t.server.id}}
	t.taken[s.InstallationID] = max(t.taken[s.InstallationID], s.Seq)
	if t.verdict == nil {
		t.last = s
		halted := t.job.halting()
		v.settle(t, verdict)
		t.job.halts(verdict.At)
		e.awaited = v.deal(t.job, verdict.At)
		if t.job.halting() && !halted {
			e.halted = t.job.record.ID
		}
		if t.job.ended(time.Now()) && len(t.job.record.Verdicts) == 0 {
			e.ended = t.job.record.ID
		}
		if t.hostEnded {
			e.told = t.id
		}
		return Taken, e
	}
	if s.InstallationID != "" && !t.hostEnded {
		t.hostEnded = true
		delete(t.server.active, t.id)
	}
	if same(*t.verdict, verdict) {
		return Repeated, e
	}
	for _, known := range t.late {
		if same(known, verdict) {
			return Repeated, e
		}
	}
	if len(t.late) < maxLate {
		t.late = append(t.late, verdict)
		v.bump(t, 0)
	}
	return Late, e
}

func same(a, b jobs.Verdict) bool {
	return a.InstallationID == b.InstallationID && a.Seq == b.Seq && a.Status == b.Status
}

// ApplyAcceptance takes in which installation a mailbox says accepted a task.
// It is known from there also when the status stream has forgotten it.
func (v *View) ApplyAcceptance(taskID, installation string) {
	v.mu.Lock()
	var e effects
	if t := v.tasks[taskID]; t != nil && t.acceptedBy == "" {
		t.acceptedBy = installation
		e.awaited = v.deal(t.job, 0)
	}
	v.mu.Unlock()
	v.call(e)
}
