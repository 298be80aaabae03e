package hdk

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/lazyregexp"
)

// said are the installer's words for a message: what it and other programs call an error,
// or else what it says failed, or else its last lines; and what the log that it names has
// beside them.
func (t *transcript) said() string {
	said := t.complaints()
	text := strings.Join(said, " / ")
	if more := len(said) - maxSaid; more > 0 {
		text = fmt.Sprintf("%s / (%d more) / %s", strings.Join(said[:maxSaid-1], " / "), more, said[len(said)-1])
	}
	text = strings.TrimRight(details.ReplaceAllString(text, ""), ".! ")
	if text == "" {
		text = "it said nothing"
	} else if !t.complains() {
		text = "it gave no reason; its last words: " + text
	}
	return text + t.inLog()
}

const maxSaid = 3 // complaints that are quoted

// inLog is what the log has beside them, to be put behind what was said.
func (t *transcript) inLog() string {
	switch {
	case len(t.logged) > 0:
		return fmt.Sprintf("; /%s says: %s", t.log, strings.TrimRight(strings.Join(t.logged, " / "), ".! "))
	case t.log != "":
		return fmt.Sprintf("; details are in /%s", t.log)
	}
	return ""
}

// complains reports whether something that was printed is a complaint.
func (t *transcript) complains() bool { return len(t.errors)+len(t.foreign) > 0 || t.failure != "" }

// besides are its words and the log's, to be put behind another reason.
func (t *transcript) besides() string {
	if !t.complains() {
		return t.inLog()
	}
	return "; it says: " + t.said()
}

// hadAsked is what it asked and passed by, to be put behind a reason that is no error: it may
// be why.
func (t *transcript) hadAsked() string {
	if t.question == "" || t.success != "" || len(t.errors) > 0 {
		return ""
	}
	return fmt.Sprintf("; it had asked %q, which nobody can answer here", t.question)
}

// cut is why it did not end by itself.
func (t *transcript) cut(exit executors.Exit, givenUp bool) string {
	why, ended := t.why(), "was ended"
	if !givenUp {
		why, ended = t.now(), fmt.Sprintf("was ended by a signal (%s)", exit.Signal)
	}
	switch {
	case why != "":
		return why + ", and " + ended + t.besides()
	case givenUp:
		return "it asked or printed without end, and was ended: " + t.said()
	}
	return "it " + ended + t.besides()
}

// complaints are quoted without the numbers of errors.
func (t *transcript) complaints() []string {
	var said []string
	for _, line := range slices.Concat(t.errors, t.foreign) {
		said = append(said, cmp.Or(sentence(line), line))
	}
	switch {
	case len(said) > 0:
		return said
	case t.failure != "":
		return []string{t.failure}
	}
	return t.last
}

// whatToDo is the remedy for how it ended, "" if none is known.
func (t *transcript) whatToDo(code int) string {
	general := ""
	for _, line := range slices.Concat([]string{t.open}, t.errors, t.foreign, []string{t.question, t.failure, t.repeats.found}, t.last, t.logged) {
		switch known := remedyIn(line); known {
		case "":
		case notUnpacked: // why that is, another line may say
			general = known
		default:
			return known
		}
	}
	if general != "" {
		return general
	}
	switch {
	case t.success == "" && t.why() != "":
		return "Run the package by hand to see what it wants, remove the cause" + againThen
	case t.spoke:
		return ""
	}
	return byExitCode[code]
}

// byExitCode is what to do about those that shells and makeself end with before the
// installer's first word, where no word says more.
var byExitCode = map[int]string{
	15:  notUnpacked,
	126: noExec,
	127: "A program that the package needs is not on the host. Install it; the task's output may name it" + againThen,
}

// started is the line with which a run of an installer begins in its log.
var started = lazyregexp.New(`\bStart ?[Tt]ime\b`)

const (
	maxLogTail = 32 << 10 // bytes of a log's end that are read
	maxLogged  = 3        // lines of it that are quoted
)

// readLog takes in what the log that the installer names says of this run and the
// installer did not print: the last of its errors and warnings, or else its last lines.
//
// A log that was not written since then is about another run.
func (t *transcript) readLog(files fs.FS, since time.Time) {
	info, err := fs.Lstat(files, t.log)
	if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(since) {
		return
	}
	var lines, grave []string
	for line := range strings.Lines(tail(files, t.log)) {
		weight, text := parts([]byte(line))
		text = printable(text)
		switch {
		case started.MatchString(text):
			lines, grave = nil, nil // of runs before
		case text == "" || t.known[text] || progress.MatchString(text) || routine.MatchString(text):
		default:
			lines = append(lines, text)
			if weight == "ERROR" || weight == "WARNING" || hasFailed.MatchString(text) {
				grave = append(grave, text)
			}
		}
	}
	if len(grave) > 0 {
		lines = grave
	}
	t.logged = lines[max(0, len(lines)-maxLogged):]
}

// tail is the end of a file of the host, from the beginning of a line on; "" if it cannot
// be read.
func tail(files fs.FS, name string) string {
	file, err := files.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	cut := false
	if seeker, ok := file.(io.Seeker); ok {
		at, err := seeker.Seek(0, io.SeekEnd)
		if err == nil && at > maxLogTail {
			cut = true
			_, err = seeker.Seek(-maxLogTail, io.SeekEnd)
		} else if err == nil {
			_, err = seeker.Seek(0, io.SeekStart)
		}
		if err != nil {
			return ""
		}
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxLogTail))
	if err != nil {
		return ""
	}
	text := string(raw)
	if cut {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}
