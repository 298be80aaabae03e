package hdk

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"devserver-agent/executors/lazyregexp"
)

// An installer has nobody to answer it: its standard input is empty. Huawei's scripts ask
// in loops that only an answer ends, some of them although they were given --quiet.

// letters are what a prompt for one of a few letters names: [y/n], (yes|no), dpkg's
// (Y/I/N/O/D/Z).
const letters = `(?i)(?:[\[({<（【](?:y(?:es)?|no?)(?:[/|,][a-z]{1,6})*[/|,](?:y(?:es)?|no?)(?:[/|,][a-z]{1,6})*[\])}>）】]|[\[(]y(?:es)? or no?[\])]|[\[(（]是/否[\])）]|\byes or no|(?:^|\s)y(?:es)?/no?)`

var (
	named = lazyregexp.New(letters)
	// choice is such a prompt at the end of its line, but for a default and a mark.
	choice = lazyregexp.New(letters + `\s*(?:[\[(（](?:default|try|retry)[^\])）]*[\])）]|default \w+)?\s*[:?：？>]*\s*\w?$`)
	again  = lazyregexp.New(`(?i)input error, please input again`)
	press  = lazyregexp.New(`(?i)\b(?:press|hit) (?:any key|\[?(?:enter|return))\b|按.{0,4}键继续`)
	prompt = lazyregexp.New(`(?i)^please (?:input|enter|type|answer|choose|select|confirm)\b|^(?:enter|select|choose|your choice|type|input)\b.*:$|\b(?:do you want|would you like|are you sure)\b.*[?？]$|\bpass(?:word|phrase)\b[^:]{0,80}[:：]$|^请(?:输入|选择|确认)|是否.*[?？]$`)
	usage  = lazyregexp.New(`(?i)^\s*(?:usage|help|-)`)
)

// questionWords are of what every question has one.
var questionWords = []string{"?", ":", "]", ")", "？", "：", "）", "again", "ress ", "PRESS ", "return", "y/n", "lease ", "PLEASE ", " or ", " OR ", "请", "按", "是否"}

// isQuestion reports whether a line asks for an answer; open is that it has no end yet,
// as a prompt behind which the cursor waits. A line that only begins as a prompt does is
// advice: "Please input the right params and try again."
func isQuestion(weight, line string, open bool) bool {
	switch {
	case !has(line, questionWords...):
		return false
	case again.MatchString(line):
		return true
	case usage.MatchString(line) || weight == "ERROR":
		return false
	case choice.MatchString(line), press.MatchString(line):
		return true
	}
	marked := hasSuffix(line, "?", "？")
	return open && marked || prompt.MatchString(line) && (open || marked || hasSuffix(line, ":", "："))
}

func hasSuffix(line string, ends ...string) bool {
	return slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(line, end) })
}

// questionIn is the question of a line that asks, once: a prompt that has no end of line
// is printed behind itself.
func questionIn(line string) string {
	line = errNumber.ReplaceAllString(line, "")
	if choice.MatchString(line) {
		return line[:named.FindStringIndex(line)[1]]
	}
	for _, mark := range []string{"?", "？", ":"} {
		if at := strings.Index(line, mark); at >= 0 {
			return line[:at+len(mark)]
		}
	}
	return line
}

const (
	// begs is how often a question is asked by an installer that waits for an answer. A
	// complaint of the answer counts as two. A firmware's may ask for each chip, and write
	// it when its input ends: a host has 16 at most, so 17 times with nothing between.
	begs, begsOfFlash = 3, 17
	// An installer may ask once and go on by itself at the end of its input, without a word
	// while it builds its modules. A verdict is wanted within a minute all the same, and a
	// signal may take executors.Command's grace of that. After a success little is left to do.
	quiet, quietAfterSuccess = 45 * time.Second, 10 * time.Second
	// endless is how often the same line may come, with few others between: a line a
	// second for half an hour is still a wait.
	endless = 2000
	// flood is how many bytes an installer may print. A whole installation prints some
	// kilobytes; executors.WatchLimit is twice as much.
	flood = 4 << 20
)

// hopeless reports whether the installer will come to no good end by itself and may be
// ended: it asks, and neither goes on nor stops asking; or it prints without end. One that
// writes chips may not, from its first word of that until it says that it is done.
func (t *transcript) hopeless() bool {
	t.doomed = !t.flashing && (t.doomed || t.stuck())
	return t.doomed
}

// stuck is hopeless at this moment.
func (t *transcript) stuck() bool {
	switch {
	case t.flashes && t.claimed == "": // its input has ended, so what is silent works
		return t.begs || t.open != "" && strings.Count(string(t.line), t.open) >= begsOfFlash
	case t.repeats.found != "" || t.printed-t.calm > flood || t.begs && t.success == "":
		return true
	case t.open == "":
		return false
	case strings.Count(printable(string(t.line)), t.open) >= begs && t.success == "":
		return true
	case t.success != "":
		return time.Since(t.since) >= quietAfterSuccess
	}
	return time.Since(t.since) >= quiet
}

// why says what may make it hopeless, "" if nothing does. A question that something
// followed comes last: it may have gone on by itself.
func (t *transcript) why() string {
	if now := t.now(); now != "" || t.question == "" {
		return now
	}
	return fmt.Sprintf("it asks %q, which nobody can answer here", t.question)
}

// now says what it waits for or does without end at this moment, "" if nothing.
func (t *transcript) now() string {
	switch {
	case t.open != "":
		return fmt.Sprintf("it asks %q, which nobody can answer here", t.open)
	case t.repeats.found != "":
		return fmt.Sprintf("it printed %q over and over", t.repeats.found)
	case t.printed-t.calm > flood:
		return fmt.Sprintf("it printed more than %d MiB", flood/mib)
	}
	return ""
}

// repetition counts how often lines come that alternate with few others. Progress does not count:
// a poll repeats it.
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
