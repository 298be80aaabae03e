package audit

import (
	"slices"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// Record adds what a record of a task's log says, unless it was told before. What an
// executor remembered is its own business and is not in it.
func (l *Log) Record(task string, rec journal.Record) {
	if e, is := entry(rec); is {
		e.Task, e.Record, e.At = task, rec.N, rec.At
		l.Add(e)
	}
}

func entry(rec journal.Record) (e Entry, is bool) {
	switch {
	case rec.Accept != nil:
		return accepted(*rec.Accept), true
	case rec.Cancel != nil:
		return Entry{Event: Cancelled, Message: rec.Cancel.Reason}, true
	case rec.Start != nil:
		s := rec.Start
		return Entry{Event: Begun, Item: s.Item, Step: s.Step, Attempt: s.Attempt, Argv: s.Argv, Program: s.Program, Digest: s.SHA256}, true
	case rec.End != nil:
		s := rec.End
		return Entry{Event: Ended, Item: s.Item, Step: s.Step, Attempt: s.Attempt, Outcome: string(s.Outcome), Exit: &s.Code}, true
	case rec.Restart != nil:
		return Entry{Event: Restart, Step: rec.Restart.Name}, true
	case rec.Damage != nil:
		return Entry{Event: Damaged, Message: rec.Damage.Why}, true
	case rec.Status != nil && rec.Status.Status.Status.Terminal():
		s := rec.Status.Status
		return Entry{Event: Verdict, Status: string(s.Status), Code: string(s.Code), Message: s.Message}, true
	}
	return Entry{}, false
}

func accepted(a journal.AcceptRecord) Entry {
	e := Entry{Event: Accepted, Digest: a.Digest, Key: a.KeyID}
	if a.Local {
		e.Message = "asked for on the host"
	}
	if a.Task == nil {
		e.Message = "cancelled before it came"
		return e
	}
	e.Job, e.User = a.Task.JobID, a.Task.Job.UserName
	for _, item := range a.Task.Items {
		e.Items = append(e.Items, item.Type)
	}
	return e
}

// refusals are the notices about statements that were refused.
var refusals = []protocol.Code{
	protocol.NoticeUnsigned, protocol.NoticeUnknownKey, protocol.NoticeSignature, protocol.NoticePayloadType, protocol.NoticeTooLarge,
	protocol.NoticeUnparsable, protocol.NoticeWrongServer, protocol.NoticeContentChanged,
}

// Notice adds what is reported without a verdict, above all what was refused.
func (l *Log) Notice(n protocol.Notice) {
	event := Noticed
	if slices.Contains(refusals, n.Code) {
		event = Refused
	}
	l.Add(Entry{Event: event, Code: string(n.Code), Task: n.TaskID, Digest: n.Digest, Message: n.Message, Count: n.Count})
}
