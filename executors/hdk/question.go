package hdk

import (
	"fmt"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// An installer has nobody to answer it: its standard input is empty. Huawei's scripts ask
// in loops that only an answer ends, some of them although they were given --quiet.

var (
	// choice is a prompt for one of a few letters, such as [y/n], (yes/no) and dpkg's
	// (Y/I/N/O/D/Z).
	choice = lazyregexp.New(`(?i)[\[(]y(?:es)?(?:/[a-z]{1,6})*/n(?:o)?(?:/[a-z]{1,6})*[\])]|input error, please input again`)
	prompt = lazyregexp.New(`(?i)^please (?:input|enter|type|answer|choose|select)\b|^(?:do you want|would you like|are you sure)\b.*\?$|\bpress (?:any key|enter|return)\b|\bpass(?:word|phrase)\b[^:]{0,80}:$`)
)

// isQuestion reports whether a line asks for an answer. An error that begins as a prompt
// does is advice: "Please input the right params and try again."
func isQuestion(weight, line string) bool {
	return choice.MatchString(line) || weight != "ERROR" && prompt.MatchString(line)
}

// questionIn is the question of a line that asks, once: a prompt that has no end of line
// is printed behind itself.
func questionIn(line string) string {
	line = errNumber.ReplaceAllString(line, "")
	if at := choice.FindStringIndex(line); at != nil {
		return line[:at[1]]
	}
	if at := strings.IndexAny(line, ":?"); at >= 0 {
		return line[:at+1]
	}
	return line
}

const (
	// endless is how often the same line may come, with few others between: a line a
	// second for half an hour is still a wait.
	endless = 2000
	// flood is how many bytes an installer may print. A whole installation prints some
	// kilobytes; more than executors.WatchLimit is not heard at all.
	flood = 4 << 20
)

// repetition counts how often lines come that alternate with few others.
type repetition struct {
	recent []counted // the latest first
	found  string    // the line that came too often
}

type counted struct {
	line  string
	times int
}

const maxRecent = 8 // lines

func (r *repetition) add(line string) {
	line = printable(line)
	at := 0
	for at < len(r.recent) && r.recent[at].line != line {
		at++
	}
	now := counted{line: line}
	switch {
	case at < len(r.recent):
		now = r.recent[at]
	case at < maxRecent:
		r.recent = append(r.recent, now)
	default:
		at--
	}
	now.times++
	copy(r.recent[1:at+1], r.recent[:at])
	r.recent[0] = now
	if now.times >= endless && r.found == "" {
		r.found = line
	}
}

// hopeless reports whether the installer will come to no good end by itself and may be
// ended: it asks, or prints without end. One that writes chips may not, from its first
// word of progress until it says that it is done.
func (t *transcript) hopeless() bool {
	if t.flashes && t.begun && t.success == "" {
		return false
	}
	return t.why() != "" || t.waiting && t.success == ""
}

// why says what makes it hopeless, "" if nothing does.
func (t *transcript) why() string {
	switch {
	case t.question != "":
		return fmt.Sprintf("it asks %q, which nobody can answer here", t.question)
	case t.repeats.found != "":
		return fmt.Sprintf("it printed %q over and over", t.repeats.found)
	case t.printed > flood:
		return fmt.Sprintf("it printed more than %d MiB", flood/mib)
	}
	return ""
}
