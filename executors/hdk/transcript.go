package hdk

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"devserver-agent/executors/lazyregexp"
)

// transcript is what an installer prints, understood as it comes: how far it is,
// what it says it came to, what it complains of, whether it asks. Terminal sequences are
// left out; a carriage return ends a line as a newline does. It keeps a bounded amount
// however much is printed, and what it does not know is passed over: it is
// in the task's output.
type transcript struct {
	flashes  bool // it writes chips, which must not be cut
	progress func(percent int)

	percent int
	begun   bool              // it reported how far it is
	success string            // the sentence that claims success
	pending bool              // it takes effect after a restart
	atOnce  bool              // it has taken effect
	stopped bool              // it gave up and calls that no failure
	errors  []string          // what it complains of, in order, each once
	failure string            // what it says failed without calling it an error, the last of it
	last    []string          // the last lines
	known   map[string]string // lines that it printed, the first of them, and their level
	log     string            // the file that has the details
	logged  []string          // what that file says, once it was read
	remedy  string            // for the first complaint that is known

	question string // the first that it asked
	waiting  bool   // it stands behind one that has no end of line
	repeats  repetition
	printed  int    // bytes
	line     []byte // not ended yet
}

const (
	maxLine   = 4096 // bytes of one line that are read
	maxErrors = 8
	maxError  = 300 // bytes of one complaint
	maxLast   = 3   // lines
	maxKnown  = 512 // lines
)

var (
	terminal    = lazyregexp.New(`\x1b\[[0-?]*[ -/]*[@-~]`) // ECMA-48 CSI
	overwritten = lazyregexp.New(`^\s*[0-9]{1,3}%\s*`)
	stamp       = lazyregexp.New(`^\[(?i:driver|firmware)\]\s*\[[^\]]*\]\s*`)
	level       = lazyregexp.New(`^\[(INFO|WARNING|ERROR)\]\s*`)
	progress    = lazyregexp.New(`^upgradePercentage:\s*([0-9]{1,3})%`) // "10%" of the driver, " 0%" of the firmware
	errNumber   = lazyregexp.New(`^ERR_NO:0x[0-9A-Fa-f]+;ERR_DES:\s*`)
	number      = lazyregexp.New(`^ERR_NO:(0x[0-9A-Fa-f]+)`)
	details     = lazyregexp.New(`(?i),?\s*\bdetails? (?:are )?in\s*:?\s*/?(var/log/[A-Za-z0-9._/-]{1,200})`)

	succeeded = lazyregexp.New(`(?i)package (?:installed|upgraded) successfully!|package install(?:ed)? success!|package (?:installed|upgraded) finished!`)
	needsBoot = lazyregexp.New(`(?i)reboot needed|reboot now or after|check after reboot`)
	immediate = lazyregexp.New(`(?i)takes effect immediately`)
	// routine is what every run prints, whatever comes of it.
	routine   = lazyregexp.New(`^(?:Start time|End time|LogFile|OperationLogFile): `)
	hasFailed = lazyregexp.New(`(?i)\bfail(?:ed|ure)?\b|\bstop installation\b`)
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
	// A prompt has no end of line: the cursor waits behind it.
	weight, line := parts(t.line)
	t.waiting = isQuestion(weight, line)
}

func (t *transcript) keep(piece []byte) {
	t.line = append(t.line, piece[:min(len(piece), maxLine-len(t.line))]...)
}

// parts cuts a line into its level, "" if it has none, and its text.
func parts(raw []byte) (weight, text string) {
	text = string(raw)
	// What is behind backspaces stands over the rest: makeself writes its percentages so.
	if over := strings.LastIndexByte(text, '\b'); over >= 0 {
		text = overwritten.ReplaceAllString(text[over+1:], "")
	}
	text = strings.TrimSpace(terminal.ReplaceAllString(text, ""))
	text = stamp.ReplaceAllString(text, "")
	if match := level.FindStringSubmatch(text); match != nil {
		weight, text = match[1], strings.TrimSpace(text[len(match[0]):])
	}
	return weight, text
}

// end takes the line in.
func (t *transcript) end() {
	if len(t.line) == 0 {
		return
	}
	weight, line := parts(t.line)
	t.line, t.waiting = t.line[:0], false
	if line == "" {
		return
	}
	t.repeats.add(line)
	if former, known := t.known[printable(line)]; known && former == weight || t.printed > flood && !strings.Contains(line, "ackage") {
		return // it has been taken in; of a flood only the end counts
	}
	if match := progress.FindStringSubmatch(line); match != nil {
		t.advance(match[1])
		return
	}
	// What is asked after the success can wait.
	if t.question == "" && t.success == "" && isQuestion(weight, line) {
		t.question = printable(questionIn(line))
	}
	if !routine.MatchString(line) {
		t.remember(weight, printable(line))
	}
	switch {
	case strings.Contains(line, "installation Stoped!"): // the installer's own spelling
		t.stopped = true
	case succeeded.MatchString(line):
		t.success = printable(line)
	}
	t.pending = t.pending || needsBoot.MatchString(line)
	t.atOnce = t.atOnce || immediate.MatchString(line)
	if match := details.FindStringSubmatch(line); match != nil {
		t.log = match[1]
	}
	switch {
	case weight == "ERROR" || foreign.MatchString(line) || weight == "" && errNumber.MatchString(line):
		t.complain(line)
	case weight != "" && hasFailed.MatchString(line):
		t.failure = printable(line)
	}
}

func (t *transcript) remember(weight, line string) {
	if t.last = append(t.last, line); len(t.last) > maxLast {
		t.last = slices.Delete(t.last, 0, 1)
	}
	if t.known == nil {
		t.known = map[string]string{}
	}
	if len(t.known) < maxKnown {
		t.known[line] = weight
	}
}

// advance never goes back: installers repeat themselves.
func (t *transcript) advance(digits string) {
	percent, err := strconv.Atoi(digits)
	if err != nil || percent > 100 {
		return
	}
	t.begun = true
	if percent <= t.percent {
		return
	}
	t.percent = percent
	if t.progress != nil {
		t.progress(percent)
	}
}

func (t *transcript) complain(line string) {
	if t.remedy == "" {
		t.remedy = remedyIn(line)
	}
	line = printable(errNumber.ReplaceAllString(line, ""))
	if len(t.errors) < maxErrors && !slices.Contains(t.errors, line) {
		t.errors = append(t.errors, line)
	}
}

// close takes in a last line that was not ended.
func (t *transcript) close() { t.end() }

// printable makes a line of foreign text fit to be shown: in one line, without padding.
func printable(line string) string {
	line = strings.Join(strings.Fields(line), " ")
	line = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, line)
	for len(line) > maxError {
		_, size := utf8.DecodeLastRuneInString(line)
		line = line[:len(line)-size]
	}
	return line
}
