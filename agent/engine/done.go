package engine

import (
	"fmt"
	"slices"
	"strings"

	"devserver-agent/agent/journal"
)

// done says which actions were started, for those who must know what a task
// that did not succeed left behind.
func (r *run) done() string {
	var said []string
	for _, start := range r.task.Starts() {
		for _, a := range visible(r.task.Attempts(start.Item, start.Step)) {
			if a.Attempt == start.Attempt {
				said = append(said, start.Step+" "+outcome(a.End))
			}
		}
	}
	if len(said) == 0 {
		return "No action had been started on this host."
	}
	return "Actions on this host: " + strings.Join(said, ", ") + "."
}

func outcome(end *journal.EndRecord) string {
	switch {
	case end == nil:
		return "(running)"
	case end.Outcome == journal.Exited && end.Code == 0:
		return "(done)"
	case end.Outcome == journal.Exited:
		return fmt.Sprintf("(exit %d)", end.Code)
	}
	return "(" + string(end.Outcome) + ")"
}

// interruptions counts the starts of the step that was started most often and
// names every step that was cut.
func (r *run) interruptions() (most int, note string) {
	var cut []string
	for _, start := range r.task.Starts() {
		attempts := visible(r.task.Attempts(start.Item, start.Step))
		most = max(most, len(attempts))
		if start.Attempt == 1 && len(attempts) > 1 {
			cut = append(cut, fmt.Sprintf("%s was interrupted%s and started %d times", start.Step, byRestart(attempts), len(attempts)))
		}
	}
	if len(cut) > 0 {
		note = "Note: " + strings.Join(cut, "; ") + "."
	}
	return most, note
}

// restarted says whether the step that was asked for last was cut by a restart
// of the host.
func (r *run) restarted() string {
	for _, start := range r.task.Starts() {
		if start.Step == r.step {
			return byRestart(r.task.Attempts(start.Item, start.Step))
		}
	}
	return ""
}

func byRestart(attempts []journal.Attempt) string {
	if slices.ContainsFunc(attempts, func(a journal.Attempt) bool { return a.End != nil && a.End.Restarted }) {
		return " by a restart of the host"
	}
	return ""
}

// visible leaves out the attempts that never started.
func visible(attempts []journal.Attempt) []journal.Attempt {
	return slices.DeleteFunc(slices.Clone(attempts), func(a journal.Attempt) bool {
		return a.End != nil && a.End.Outcome == journal.Abandoned
	})
}

// acted reports whether an action of the task may have been started.
func (r *run) acted() bool {
	return slices.ContainsFunc(r.task.Starts(), func(s journal.StartRecord) bool { return r.actedIn(s.Item) })
}

func (r *run) actedIn(item int) bool {
	return slices.ContainsFunc(r.task.Starts(), func(s journal.StartRecord) bool {
		return s.Item == item && len(visible(r.task.Attempts(item, s.Step))) > 0
	})
}
