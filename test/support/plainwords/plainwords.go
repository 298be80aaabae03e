// Package plainwords judges what an operator reads when something failed, for every
// test that has such a text: no slot is empty, nothing is said twice, and the remedy
// beside a message does not contradict it.
package plainwords

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"devserver-agent/protocol"
)

// Check reports an error for each thing that is wrong with a message of a code as it is
// printed, with the code's remedy beside it where a printer puts it there. The code may
// be "" or of another version: then the message is judged by itself.
func Check(t testing.TB, code protocol.Code, printed string) {
	t.Helper()
	for _, problem := range Problems(code, printed) {
		t.Errorf("%s: %s:\n%s", code, problem, printed)
	}
}

// Problems is what Check reports.
func Problems(code protocol.Code, printed string) []string {
	info := protocol.Explain(code)
	beside := protocol.Beside(printed, info.Remedy)
	problems := emptySlots(printed)
	problems = append(problems, repeated(printed+"\n"+beside)...)
	// Also where it is not printed: the page of codes has it.
	problems = append(problems, contradictions(printed+"\n"+info.Remedy)...)
	return append(problems, denied(info.Meaning, printed)...)
}

// foreign is what tools and the kernel wrote: text in quotation marks, and the time and
// the padding of a line of the kernel's log.
var foreign = regexp.MustCompile(`"[^"\n]*"|\[ *\d+\.\d+\]|\]: {2}`)

// emptySlots finds places of a sentence that were to be filled.
func emptySlots(text string) (problems []string) {
	text = foreign.ReplaceAllStringFunc(text, func(found string) string {
		if found == `""` {
			return found
		}
		return "X"
	})
	for _, slot := range slots {
		for line := range strings.Lines(text) {
			if found := slot.pattern.FindString(strings.TrimRight(line, "\n")); found != "" {
				problems = append(problems, fmt.Sprintf("%s: %q", slot.name, found))
			}
		}
	}
	return problems
}

// shortest is how long a sentence must be to count as said twice, in bytes: "No." may
// be the answer to two questions.
const shortest = 12

func repeated(text string) (problems []string) {
	seen := map[string]bool{}
	for _, s := range protocol.Sentences(text) {
		s = strings.ToLower(strings.TrimRight(s, ". "))
		if len(s) >= shortest && seen[s] {
			problems = append(problems, fmt.Sprintf("it is said twice: %q", s))
		}
		seen[s] = true
	}
	return problems
}

func contradictions(text string) (problems []string) {
	for _, rule := range opposites {
		one, other := rule.one.FindString(text), rule.other.FindString(text)
		if one != "" && other != "" {
			problems = append(problems, fmt.Sprintf("%s: %q and %q", rule.name, one, other))
		}
	}
	return problems
}

var (
	nothingDone = regexp.MustCompile(`Nothing was (?:started|changed)`)
	done        = regexp.MustCompile(`(?i)\b(?:was|were) (?:installed|flashed|written|restarted|removed|upgraded)\b`)
	not         = regexp.MustCompile(`(?i)\b(?:nothing|not|no|none|neither|never)\b`)
)

// denied finds sentences that say something was done, of a code which means that
// nothing was.
func denied(meaning, printed string) (problems []string) {
	if !nothingDone.MatchString(meaning) {
		return nil
	}
	for _, s := range protocol.Sentences(printed) {
		if found := done.FindString(s); found != "" && !not.MatchString(s) {
			problems = append(problems, fmt.Sprintf("the code means that nothing was done, and here is %q", found))
		}
	}
	return problems
}
