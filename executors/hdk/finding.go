package hdk

import (
	"cmp"
	"fmt"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// finding is something that was found before anything was touched.
type finding struct {
	Code   protocol.Code `json:"code"` // "" for a warning
	What   string        `json:"what"`
	Blocks bool          `json:"blocks"`
	Remedy string        `json:"remedy,omitempty"` // "": what the code's is
}

func (f finding) String() string {
	if f.Blocks {
		return fmt.Sprintf("BLOCKS %s: %s", f.Code, f.What)
	}
	return "warning: " + f.What
}

func blocking(code protocol.Code, format string, args ...any) finding {
	return finding{Code: code, What: fmt.Sprintf(format, args...), Blocks: true}
}

func warning(format string, args ...any) finding {
	return finding{What: fmt.Sprintf(format, args...)}
}

func (p *plan) block(code protocol.Code, format string, args ...any) {
	p.Findings = append(p.Findings, blocking(code, format, args...))
}

func (p *plan) warn(format string, args ...any) {
	p.Findings = append(p.Findings, warning(format, args...))
}

func (p plan) blockers() []finding {
	var found []finding
	for _, f := range p.Findings {
		if f.Blocks {
			found = append(found, f)
		}
	}
	return found
}

func (p plan) blocked() bool { return len(p.blockers()) > 0 }

// blockedError is the failure of an upgrade that must not begin: everything that was
// found, how the host is, what to do about each. Its code is that of the first.
func (p plan) blockedError() error {
	found := p.blockers()
	var what, do []string
	for _, f := range found {
		what = append(what, f.What)
		if remedy := cmp.Or(f.Remedy, remedyFor(f.Code)); !strings.Contains(strings.Join(do, " "), remedy) {
			do = append(do, remedy)
		}
	}
	return executors.Fail(found[0].Code, "%s", protocol.Clip(fmt.Sprintf("Not begun, nothing was changed: %s. The host: %s. %s",
		strings.Join(what, "; "), p.Before.Message, strings.Join(do, " "))))
}

// remedyFor is what to do about a finding.
func remedyFor(code protocol.Code) string { return protocol.Explain(code).Remedy }

// nothingToDo is the message of an upgrade whose target runs already: what runs, and which
// cards are not well.
func (p plan) nothingToDo() string {
	said := []string{p.Before.Message}
	for _, f := range p.Findings {
		said = append(said, f.What)
	}
	return protocol.Clip(strings.Join(said, " | "))
}

// summary says in a sentence what the plan would do.
func (p plan) summary() string {
	var steps []string
	if len(p.MCU.Cards) > 0 {
		steps = append(steps, fmt.Sprintf("write MCU %s into %s", p.MCU.Version, ascend.FormatCards(p.MCU.Cards...)))
	}
	for n, i := range p.Installs {
		if n > 0 && p.Strategy == strategyRepair {
			steps = append(steps, "restart")
		}
		steps = append(steps, fmt.Sprintf("install %s (%s)", i, i.how()))
	}
	switch p.Strategy {
	case strategyNone:
		return "Nothing to do: " + p.nothingToDo()
	case "":
		return "Nothing can be planned. The host: " + p.Before.Message
	}
	if p.Strategy != strategyMCU {
		steps = append(steps, "restart if the task allows")
	}
	return fmt.Sprintf("To reach %s: %s. The host: %s", p.Target, strings.Join(steps, ", then "), p.Before.Message)
}
