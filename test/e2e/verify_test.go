package e2e

import (
	"strings"

	"devserver-agent/protocol"
)

// verify checks the promise for every task of a schedule that has settled.
func (s *schedule) verify() {
	t := s.rig.t
	starts := s.started()
	if starts["changed"] > 0 {
		t.Error("other content under a known id was run")
	}
	for n, task := range s.tasks {
		v := *s.verdict(task.TaskID)
		for _, err := range s.check(task.TaskID) {
			t.Error(err)
		}
		if s.spared[task.TaskID] && v.Status != protocol.Deleted {
			t.Errorf("%s was cancelled before it came and ended %s %s", task.TaskID, v.Status, v.Code)
		}
		if why := s.unjust(n, v); why != "" {
			t.Errorf("%s ended %s %s (%s): %s", task.TaskID, v.Status, v.Code, v.Message, why)
		}
		for _, step := range s.plan.tasks[n].steps() {
			got := starts[step]
			switch {
			case s.spared[task.TaskID] && got > 0:
				t.Errorf("step %s was started %d times after its task's cancel", step, got)
			case got > allowedStarts(v, step):
				t.Errorf("step %s was started %d times; the verdict says %s", step, got, v.Message)
			case got == 0 && v.Status == protocol.Success:
				t.Errorf("step %s of a task that succeeded was never started", step)
			}
		}
	}
	for _, err := range s.checkState() {
		t.Error(err)
	}
	if left := s.running(); len(left) > 0 {
		t.Errorf("these processes are left: %+v", left)
	}
}

// steps are the names of a task's steps.
func (p plannedTask) steps() (names []string) {
	for _, words := range p.items {
		for _, word := range words {
			if name, _, ok := strings.Cut(word, ":"); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// has reports whether any word of the task has a part.
func (p plannedTask) has(part string) bool {
	for _, words := range p.items {
		if strings.Contains(strings.Join(words, " "), part) {
			return true
		}
	}
	return false
}

// unjust says why a verdict cannot be right, given all that was done to its
// task, or "".
func (s *schedule) unjust(n int, v protocol.Status) string {
	plan, id := s.plan.tasks[n], s.tasks[n].TaskID
	fails := plan.has(":fail:") || s.killed[id]
	allowed := map[protocol.Code]bool{
		"":                        !plan.has(":fail:") && !plan.has("result="),
		protocol.StepFailed:       fails,
		protocol.StepInterrupted:  s.cut,
		protocol.ExecutorFailed:   plan.has("result="),
		protocol.DeadlineExceeded: plan.timeout > 0,
		protocol.StepStuck:        plan.timeout > 0 && plan.has(":stubborn:"),
		protocol.TaskCancelled:    s.cancelled[id],
	}
	if !allowed[v.Code] {
		return "nothing was done that would explain it"
	}
	want := protocol.Failed
	switch v.Code {
	case "":
		want = protocol.Success
	case protocol.TaskCancelled:
		want = protocol.Deleted
	}
	if v.Status != want {
		return "status and code do not suit each other"
	}
	if v.Code == protocol.StepInterrupted && !plan.has("policy=give-up") && v.Attempts < 2 {
		return "its executor takes an interrupted step again"
	}
	return ""
}
