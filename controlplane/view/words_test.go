package view

import (
	"strings"
	"testing"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
	"devserver-agent/test/support/plainwords"
)

// What the control plane says of a task has no empty slots, and no advice that
// contradicts it.
func TestWhatTheControlPlaneSaysIsPlain(t *testing.T) {
	cancelled, deleted, halted, paused, waits := record, record, record, record, record
	cancelled.Cancelled = &jobs.Order{At: start.UnixMilli(), By: "ops"}
	cancelled.MaxConcurrent = 1
	deleted.DeletedAt = start.UnixMilli()
	halted.MaxFailures, halted.MaxConcurrent = 1, 1
	paused.Paused = &jobs.Order{At: start.UnixMilli(), By: "ops", Reason: "It looks odd."}
	waits.MaxConcurrent = 1
	later := start.Add(48 * time.Hour)
	for name, c := range map[string]struct {
		record  jobs.Record
		prepare func(*View)
		code    protocol.Code
		says    string // in the message of one task
		never   string // in any message
	}{
		"cancelled":          {cancelled, nil, protocol.TaskWithheld, "The job was cancelled before the task's turn came", "others failed"},
		"cancelled, its own": {cancelled, nil, protocol.TaskCancelled, "The job was cancelled before the host accepted", "others failed"},
		"deleted":            {deleted, nil, protocol.TaskCancelled, "The job was deleted before the host accepted", "others failed"},
		"halted": {halted, func(v *View) { v.ApplyStatus("server-a", status(1, protocol.Failed), start) }, protocol.TaskWithheld,
			"1 task of the job had failed (max_failures), so this one was never handed out", "cancelled"},
		"paused":     {paused, nil, protocol.TaskExpired, "The job is paused since 2026", "odd.."},
		"no turn":    {waits, nil, protocol.TaskExpired, "It waited for a slot", "silent or busy"},
		"never seen": {record, nil, protocol.TaskExpired, "The server has never been seen. Check its id", "silent or busy"},
		"silent": {record, func(v *View) { v.ApplyStatus("server-a", status(1, protocol.Processing), start) }, protocol.HostLost,
			"Nothing was heard of the host since", "others failed"},
	} {
		v := New(Options{})
		v.SetHearing(start)
		v.ApplyRecord(c.record, 1)
		if c.prepare != nil {
			c.prepare(v)
		}
		found := false
		for _, o := range v.Overdue(later, Rules{LostAfter: time.Hour, HaltGrace: time.Second, Born: start.Add(-time.Hour), Trusted: start}) {
			plainwords.Check(t, o.Code, o.Message)
			found = found || o.Code == c.code && strings.Contains(o.Message, c.says)
			printed := o.Message + " " + protocol.Beside(o.Message, protocol.Explain(o.Code).Remedy)
			if o.Code == c.code && strings.Contains(printed, c.never) {
				t.Errorf("%s: %s: %s", name, o.Code, printed)
			}
			if found && o.Code == c.code && strings.Contains(o.Message, c.says) {
				t.Logf("%s: %s", o.Code, printed)
			}
		}
		if !found {
			t.Errorf("%s: no task ends as %s, ...%s...: %+v", name, c.code, c.says, v.Overdue(later, Rules{LostAfter: time.Hour, HaltGrace: time.Second}))
		}
	}
}

func TestASilentHostThatSaidNothingOfItsPhase(t *testing.T) {
	v := newView()
	v.SetHearing(start)
	v.ApplyStatus("server-a", status(1, protocol.Processing, func(s *protocol.Status) { s.Message = "" }), start)
	j, _ := v.Job(record.ID)
	if message := j.Tasks[0].Message; !strings.Contains(message, "in phase") {
		t.Errorf("it says %q", message)
	} else {
		plainwords.Check(t, "", message)
	}
}
