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
// under the host, so that it has to be restarted.
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

// judge weighs exit code and text: some failures exit with 0, and some success
// is reported only in words. rpm and dpkg have exit codes of their own and do not
// pass on that of the installer, so there only words say that nothing is pending.
func judge(format repository.Format, exit executors.Exit, t *transcript) judgement {
	codes := []int{exitDone, exitReboot}
	if format != repository.Run {
		codes = codes[:1]
	}
	j := judgement{Attempt: exit.Attempt, Remedy: t.remedy}
	fail := func(format string, args ...any) judgement {
		j.Effect, j.Reason = failed, fmt.Sprintf(format, args...)
		return j
	}
	switch {
	case exit.Signal != "":
		return fail("it was ended by a signal (%s)", exit.Signal)
	case !slices.Contains(codes, exit.Code):
		return fail("%s (exit code %d)", t.said(), exit.Code)
	case t.stopped:
		return fail("it stopped without installing anything, with exit code %d", exit.Code)
	case len(t.errors) > 0 && t.success == "":
		return fail("%s (exit code %d)", t.said(), exit.Code)
	case exit.Code == exitReboot || t.pending || format != repository.Run && !t.atOnce:
		j.Effect = pending
	default:
		j.Effect = active
	}
	j.Remedy = ""
	return j
}

// against compares a success with what version.info says then. A file that
// cannot be read refutes nothing: the cards have the last word.
func (j judgement) against(info ascend.VersionInfo, err error, target ascend.Version) judgement {
	if j.Effect != failed && err == nil && info.Version != target {
		j.Reason = fmt.Sprintf("it says that it succeeded, and version.info says %s", info.Version)
		j.Effect = failed
	}
	return j
}
