package hdk

import (
	"fmt"
	"slices"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
)

// effect is what an installation came to.
type effect string

const (
	active  effect = "active"  // the new version runs
	pending effect = "pending" // it is installed and runs after a restart
	failed  effect = "failed"
)

// Exit codes of Huawei's installers: 2 says that the chips could not be reset
// under the host, so that it has to be restarted. makeself ends with 2 as well where the
// archive is damaged, and a shell where a script is, so that 2 alone says nothing.
const (
	exitDone   = 0
	exitReboot = 2
)

// judgement is how one installer ended, as a memo remembers it.
type judgement struct {
	Effect  effect `json:"effect"`
	Reason  string `json:"why,omitempty"`    // of a failure
	Remedy  string `json:"remedy,omitempty"` // for it, "" if none is known
	Attempt int    `json:"attempt"`
}

// ended is how an installer ended: what it printed and what came of it.
type ended struct {
	executors.Exit
	format  repository.Format
	given   bool // it was given up
	said    *transcript
	info    ascend.VersionInfo // what version.info says since
	infoErr error
	target  ascend.Version
	former  ascend.Version // what version.info said before, "" if nothing
}

// proven reports whether version.info names the target since this run.
func (e ended) proven() bool {
	return e.infoErr == nil && e.info.Version == e.target && e.former != e.target
}

// judge weighs exit code, text and version.info: some failures exit with 0, and some
// success is reported only in words. Without a word of success only a version.info that
// names the target now is one. rpm and dpkg have exit codes of their own and do not
// pass on that of the installer, so there only words say that nothing is pending.
func (e ended) judge() judgement {
	codes := []int{exitDone, exitReboot}
	if e.format != repository.Run {
		codes = codes[:1]
	}
	j := judgement{Attempt: e.Attempt}
	t := e.said
	fail := func(format string, args ...any) judgement {
		j.Effect, j.Reason, j.Remedy = failed, fmt.Sprintf(format, args...), t.whatToDo(e.Code)
		return j
	}
	code := fmt.Sprintf("(exit code %d)", e.Code)
	wasEnded := e.given || e.Signal != ""
	switch why := t.why(); {
	case why != "" && wasEnded && t.success == "":
		return fail("%s, and was ended", why)
	case why != "" && t.question != "" && t.success == "" && !e.proven():
		return fail("%s %s", why, code)
	case e.Signal != "" && !e.given:
		return fail("it was ended by a signal (%s)", e.Signal)
	case !e.given && !slices.Contains(codes, e.Code):
		return fail("%s %s", t.said(), code)
	case t.stopped:
		return fail("it stopped without installing anything, with exit code %d", e.Code)
	case len(t.errors) > 0 && t.success == "":
		return fail("%s %s", t.said(), code)
	case t.success == "" && !e.proven():
		return fail("it does not say that it installed anything, and version.info does not name the new version: %s %s", t.said(), code)
	case e.Code == exitReboot || t.pending || t.success == "" || e.format != repository.Run && !t.atOnce:
		j.Effect = pending
	default:
		j.Effect = active
	}
	// A file that cannot be read refutes nothing: the cards have the last word.
	if e.infoErr == nil && e.info.Version != e.target {
		return fail("it says that it succeeded, and version.info says %s", e.info.Version)
	}
	return j
}
