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
	givenUp bool
	said    *transcript
	info    ascend.VersionInfo // what version.info says since
	infoErr error
	target  ascend.Version
	former  *ascend.Version // what version.info said before, "" if nothing; nil: not known
}

// proven reports whether version.info names the target since this run.
func (e ended) proven() bool {
	return e.infoErr == nil && e.info.Version == e.target && e.former != nil && *e.former != e.target
}

// unproven says why version.info proves nothing.
func (e ended) unproven() string {
	switch {
	case e.infoErr != nil:
		return "version.info cannot be read"
	case e.info.Version != e.target:
		return "version.info says " + string(e.info.Version)
	}
	return "version.info names the version that it may have named before"
}

// judge weighs exit code, text and version.info: some failures exit with 0, and some
// success is reported only in words. Without a word of success only a version.info that
// names the target now and named another version before is one, where nothing complains. rpm and dpkg have exit codes of their own and do not
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
	// An error after the word of success takes it back, unless the scripts have come to their
	// last step: they write version.info there.
	claims := t.success != "" || t.claimed != "" && e.proven()
	switch {
	case e.givenUp && !claims || e.Signal != "" && !e.givenUp:
		return fail("%s", t.cut(e.Exit, e.givenUp))
	case !claims && t.question != "" && len(t.errors) == 0 && t.failure == "" && !e.proven():
		return fail("%s %s%s", t.why(), code, t.besides())
	case !e.givenUp && !slices.Contains(codes, e.Code):
		return fail("%s%s %s", t.said(), t.hadAsked(), code)
	case t.stopped:
		return fail("it stopped without installing anything, with exit code %d", e.Code)
	case !claims && (len(t.errors)+len(t.foreign) > 0 || t.failure != ""):
		return fail("%s%s %s", t.said(), t.hadAsked(), code)
	case !claims && !e.proven():
		return fail("it does not say that it installed anything, and %s: %s %s", e.unproven(), t.said(), code)
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
