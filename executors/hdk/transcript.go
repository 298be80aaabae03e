package hdk

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// transcript is what an installer prints, understood as it comes: how far it is,
// what it says it came to, what it complains of, whether it asks. Terminal sequences are
// left out; a carriage return ends a line as a newline does. It keeps a bounded amount
// however much is printed, and what it does not know is passed over: it is
// in the task's output.
type transcript struct {
	flashes  bool // it writes chips, which must not be cut
	progress func(percent int)

	percent  int
	flashing bool   // it writes chips just now, as far as it says
	success  string // the sentence that claims success
	claimed  string // the same, although an error followed
	pending  bool   // it takes effect after a restart
	atOnce   bool   // it has taken effect
	stopped  bool   // it gave up and calls that no failure

	errors  []string        // what it complains of, in order, each once
	foreign []string        // what other programs complain of meanwhile
	failure string          // what it says failed without calling it an error, the last of it
	last    []string        // the last lines
	known   map[string]bool // lines that it printed, the first of them
	spoke   bool            // a line was of the installer itself
	log     string          // the file that has the details
	logged  []string        // what that file says, once it was read

	question string         // the first that it asked before a success
	open     string         // the one that nothing has followed
	asked    string         // the one that nothing had followed when the last line ended
	pleas    map[string]int // how often it asked each since it went on
	begs     bool           // it asked one too often
	doomed   bool           // it was hopeless once, and has not gone on since
	since    time.Time      // when it asked last
	repeats  repetition
	lines    map[string]heardLine // what lines came to, the first of them
	printed  int                  // bytes
	calm     int                  // as many of them do not count as a flood
	line     []byte               // not ended yet
}

const (
	maxErrors = 8
	maxLast   = 3   // lines
	maxKnown  = 512 // lines
)

// write takes in a piece of what is printed.
func (t *transcript) write(piece []byte) {
	for len(piece) > 0 {
		end := bytes.IndexAny(piece, "\r\n")
		if end < 0 {
			t.printed += len(piece)
			t.keep(piece)
			break
		}
		t.printed += end + 1
		t.keep(piece[:end])
		t.end()
		piece = piece[end+1:]
	}
	// A prompt has no end of line: the cursor waits behind it. Nor has progress, sometimes.
	if weight, line := parts(t.line); line != "" {
		t.openLine(weight, line)
	}
}

// keep adds to the line. What backspaces have gone back over is dropped: makeself writes
// some hundred percentages into one line, and what went wrong behind them.
func (t *transcript) keep(piece []byte) {
	if over := bytes.LastIndexByte(piece, '\b'); over >= 0 {
		t.line, piece = t.line[:0], piece[over:]
	}
	t.line = append(t.line, piece[:min(len(piece), maxLine-len(t.line))]...)
}

// openLine takes in a line that has no end yet.
func (t *transcript) openLine(weight, line string) {
	before := t.open
	t.open = ""
	if isQuestion(weight, line, true) {
		t.open = printable(questionIn(line))
	} else {
		t.flashing = t.flashing || t.flashes && writesChips(line)
	}
	if t.open != "" && t.open != before {
		t.since = time.Now()
	}
}

// heardLine is what a line came to, for when it is printed again.
type heardLine struct {
	text      string // as it is shown
	question  string // "" if it does not ask
	complains bool   // of the answer to the question before
	routine   bool   // it says nothing of what became of the run
	signal    bool   // it says, maybe behind a question, that a program was ended
}

// end takes the line in. What an installer prints behind a prompt that it has no answer to
// is a line of its own.
func (t *transcript) end() {
	if bytes.Contains(t.line, []byte("] [")) {
		if at := behindPrompt.FindStringSubmatchIndex(string(t.line)); at != nil {
			rest := bytes.Clone(t.line[at[2]:])
			t.line = t.line[:at[2]]
			t.endLine()
			t.line = append(t.line, rest...)
		}
	}
	t.endLine()
}

// endLine takes one line in. One that was taken in before is not read again: an installer
// may print it a hundred thousand times.
func (t *transcript) endLine() {
	if len(t.line) == 0 {
		return
	}
	line, known := t.lines[string(t.line)]
	if !known {
		line, known = t.read(t.line)
		if known && len(t.lines) < maxKnown {
			if t.lines == nil {
				t.lines = map[string]heardLine{}
			}
			t.lines[string(t.line)] = line
		}
	}
	t.line = t.line[:0]
	if line.text == "" {
		return
	}
	t.repeats.add(line.text)
	if !line.routine {
		t.remember(line.text)
	}
	switch {
	case line.question != "":
		t.open = t.ask(line)
		if !line.signal || t.since.IsZero() {
			t.since = time.Now()
		}
	case line.signal:
		t.open = t.asked // whose child was ended may wait for its answer still
	default:
		t.open = ""
		if t.flashes && t.success == "" { // it may have gone on by itself, and ask of the next chip
			clear(t.pleas)
		}
	}
	t.asked = t.open
}

// ask counts a question and returns it. A complaint of the answer counts as two, and as two
// of the question that it is about.
func (t *transcript) ask(line heardLine) string {
	times := max(1, strings.Count(line.text, line.question))
	if line.complains {
		times = 2
	}
	t.count(line.question, times)
	question := line.question
	if line.complains && t.asked != "" && t.asked != question {
		question = t.asked
		t.count(question, times)
	}
	if t.question == "" && t.success == "" {
		t.question = question
	}
	return question
}

func (t *transcript) count(question string, times int) {
	if t.pleas == nil {
		t.pleas = map[string]int{}
	}
	if t.pleas[question] > 0 || len(t.pleas) < maxKnown {
		t.pleas[question] += times
	}
	most := begs
	if t.flashes && t.success == "" {
		most = begsOfFlash
	}
	t.begs = t.begs || t.pleas[question] >= most
}

// goOn forgets what it asked: it goes on.
func (t *transcript) goOn() {
	t.open, t.asked, t.begs, t.doomed = "", "", false, false
	clear(t.pleas)
}

// read reads a line. lasting reports that it comes to nothing more when it is printed once
// more; what it came to has no text if it is not to be counted.
func (t *transcript) read(raw []byte) (line heardLine, lasting bool) {
	weight, text := parts(raw)
	if text == "" {
		return line, true
	}
	if match := progress.FindStringSubmatch(text); match != nil {
		t.open, t.asked, t.spoke = "", "", true
		t.advance(match[1])
		return line, false
	}
	line.text = printable(text)
	line.signal = signalled.MatchString(text) || signalWords.MatchString(text)
	line.question, line.complains = question(weight, text, len(raw) == maxLine)
	line.routine = routine.MatchString(text)
	writes := t.flashes && line.question == "" && writesChips(text) // a question only speaks of it
	t.flashing = t.flashing || writes
	if t.printed-t.calm > flood && weight != "ERROR" && weight != "WARNING" && !has(text, "ackage", "ERR") {
		return line, false // of a flood only the end counts
	}
	t.spoke = t.spoke || stamp.Match(raw)
	changes := t.weigh(weight, text, line.question != "")
	return line, !writes && !changes
}

// question is what a line asks, "" if it does not, and whether it complains of an answer.
// Of one that is cut the end is not known. Behind a prompt stands what a shell and makeself
// print of a signal.
func question(weight, line string, cut bool) (asks string, complains bool) {
	prompt := line
	if at := signalWords.FindStringIndex(line); at != nil {
		prompt, cut = strings.TrimSpace(line[:at[0]]), true
	}
	if !isQuestion(weight, prompt, cut) {
		return "", false
	}
	return printable(questionIn(prompt)), again.MatchString(line)
}

// weigh notices what a line claims; counts is that it does so each time it is printed.
func (t *transcript) weigh(weight, line string, asks bool) (counts bool) {
	switch {
	case strings.Contains(line, "installation Stoped!"): // the installer's own spelling
		t.stopped = true
	case has(line, "ackage") && succeeded.MatchString(line):
		if t.flashing || t.calm == 0 {
			t.repeats, t.calm = repetition{}, t.printed // what it printed until then is over
		}
		t.success, t.flashing, t.doomed, counts = printable(line), false, false, true
		t.claimed = t.success
	}
	if !has(line, "ninstallation") || !ofRemoval.MatchString(line) {
		t.pending = t.pending || has(line, "eboot") && needsBoot.MatchString(line)
		t.atOnce = t.atOnce || has(line, "mmediate") && immediate.MatchString(line)
	}
	if has(line, "etail") {
		if match := details.FindStringSubmatch(line); match != nil {
			t.log, counts = match[1], true
		}
	}
	switch {
	case asks && again.MatchString(line): // the question is the complaint
	case weight == "ERROR" || weight == "" && errNumber.MatchString(line):
		counts = true
		t.errors = complain(t.errors, line)
		t.success = "" // it took it back
	case has(line, foreignWords...) && foreign.MatchString(line):
		t.foreign = complain(t.foreign, line)
	case weight == "INFO" && hasFailed.MatchString(line):
		counts = true
		t.failure = printable(line)
	}
	return counts
}

func complain(list []string, line string) []string {
	line = strings.TrimRight(details.ReplaceAllString(printable(line), ""), ".! ")
	if line == "" || slices.Contains(list, line) {
		return list
	}
	if len(list) == maxErrors { // the first and the last say most
		list = slices.Delete(list, maxErrors-1, maxErrors)
	}
	return append(list, line)
}

func (t *transcript) remember(line string) {
	if n := len(t.last); n > 0 && t.last[n-1] == line {
		return
	}
	if t.last = append(t.last, line); len(t.last) > maxLast {
		t.last = slices.Delete(t.last, 0, 1)
	}
	if t.known == nil {
		t.known = map[string]bool{}
	}
	if len(t.known) < maxKnown {
		t.known[line] = true
	}
}

// advance never goes back: installers repeat themselves.
func (t *transcript) advance(digits string) {
	percent, err := strconv.Atoi(digits)
	if err != nil || percent > 100 {
		return
	}
	t.flashing = t.flashes
	if percent <= t.percent {
		return
	}
	t.percent = percent
	t.goOn()
	if t.progress != nil {
		t.progress(percent)
	}
}

// close takes in a last line that was not ended.
func (t *transcript) close() {
	if weight, line := parts(t.line); line != "" && t.question == "" && t.success == "" && isQuestion(weight, line, true) {
		t.question = printable(questionIn(line))
	}
	open := t.open
	t.end()
	t.open = cmp.Or(open, t.open)
}
