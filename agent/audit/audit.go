// Package audit keeps, apart from the tasks themselves and longer than they are kept,
// who asked this host for what, with which key it was signed, what ran, how it ended,
// and what was refused. A line is never changed: each carries the SHA-256 of the one
// before, so that whoever takes one out, alters or adds one breaks the chain. An owner
// of the host can write the whole chain anew; Forward sends the lines to the broker as
// they come, where that is noticed.
//
// The folder has audit.log, and what was put aside when that had grown, named by the
// number of its first line. The oldest go when there are too many.
//
// Lines are not synced one by one: what a task did is in its own log, which is, and is
// told again when that is opened. What happens when the process dies
//
//	in the middle of a line  -> it is cut off at the next start, and a line says so
//	before a line of a task  -> the line comes at the next start, as long as the task is open
//	before another line      -> it is missing
//	after audit.log was put aside -> the next line begins a new one
//	after lines were sent    -> they are sent again; who reads them knows them by their numbers
package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"devserver-agent/protocol"
)

// Bounds.
const (
	maxFile = 8 << 20 // bytes of a file, and one line
	maxKept = 7       // files put aside
	maxLine = protocol.MaxAuditLine
	tail    = 4 * maxLine
)

const current = "audit.log"

// Event is what a line is about.
type Event string

// The events. A refused statement never became a task.
const (
	Started   Event = "STARTED"   // the agent
	Accepted  Event = "ACCEPTED"  // a task
	Refused   Event = "REFUSED"   // a statement, or several alike
	Noticed   Event = "NOTICE"    // what else the control plane was told besides statuses
	Cancelled Event = "CANCELLED" // a task, by a signed word
	Begun     Event = "BEGUN"     // a program
	Ended     Event = "ENDED"     // a program
	Restart   Event = "RESTART"   // of the host is about to be asked for
	Verdict   Event = "VERDICT"
	Damaged   Event = "DAMAGED" // a task's log
	Held      Event = "HELD"    // exclusive work is stopped, by somebody on the host
	Released  Event = "RELEASED"
	Drained   Event = "DRAINED" // nothing new is started
	Resumed   Event = "RESUMED"
	Torn      Event = "TORN"   // the line before this one was never whole
	Missed    Event = "MISSED" // lines that could not be written, as on a full disk
)

// Entry is what a line says.
type Entry struct {
	At      int64    `json:"at"` // host's clock, epoch ms
	Event   Event    `json:"event"`
	Task    string   `json:"task,omitempty"`
	Record  int      `json:"record,omitempty"` // number in the task's own log
	Job     string   `json:"job,omitempty"`
	User    string   `json:"user,omitempty"`   // who created the job, as the control plane says
	Key     string   `json:"key,omitempty"`    // id of the key that signed; "" if nobody did
	Digest  string   `json:"digest,omitempty"` // SHA-256 of what was signed, of the program that ran, or of what was cut off
	Items   []string `json:"items,omitempty"`  // their types
	Item    int      `json:"item,omitempty"`
	Step    string   `json:"step,omitempty"`
	Attempt int      `json:"attempt,omitempty"`
	Argv    []string `json:"argv,omitempty"`
	Program string   `json:"program,omitempty"` // the file that argv[0] was found to be
	Outcome string   `json:"outcome,omitempty"`
	Exit    *int     `json:"exit,omitempty"`
	Code    string   `json:"code,omitempty"` // of a verdict or a refusal
	Status  string   `json:"status,omitempty"`
	Message string   `json:"message,omitempty"`
	Count   int      `json:"count,omitempty"` // of what was refused alike, or missed
}

// Line is an entry in the chain.
type Line struct {
	Seq  int64  `json:"seq"`  // from 1, without a gap
	Prev string `json:"prev"` // SHA-256 of the line before, "" of the first
	Entry
}

// Log is an audit log that is being written. It is safe for concurrent use. A nil one
// keeps nothing.
type Log struct {
	dir   string
	limit int64 // bytes after which a file is put aside

	added chan struct{} // lines were; Forward waits for it

	mu     sync.Mutex
	file   *os.File
	size   int64
	seq    int64
	head   string
	missed int
	closed bool
	torn   *Entry // to be said first
	// Until all is caught up with: what came last of each task, and the time before
	// which all of it is taken for told.
	known map[string]mark
	since int64
}

// mark is a record of a task's log.
type mark struct {
	record int
	at     int64
}

// Open opens the log in dir, and makes it if there is none. Nobody else may write it.
// With an error the log can be used all the same: it tries again with every entry, and
// says how many it missed.
func Open(dir string) (*Log, error) {
	l := &Log{dir: dir, limit: maxFile, known: map[string]mark{}, added: make(chan struct{}, 1)}
	return l, l.open()
}

func (l *Log) open() error {
	err := os.MkdirAll(l.dir, 0o700)
	if err == nil {
		err = l.begin()
	}
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// begin opens audit.log and finds where the chain ends.
func (l *Log) begin() error {
	files, err := Files(l.dir)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(l.dir, current), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	l.file, l.size, l.seq, l.head = file, 0, 0, ""
	if err := l.findEnd(files); err != nil {
		l.file = nil
		return errors.Join(err, file.Close())
	}
	if l.torn != nil && l.add(*l.torn) {
		l.torn = nil
	}
	return nil
}

// findEnd reads the newest lines that there are.
func (l *Log) findEnd(files []string) error {
	for _, name := range slices.Backward(files) {
		torn, err := l.takeTail(name)
		if err != nil {
			return err
		}
		if filepath.Base(name) == current {
			if err := l.mend(torn); err != nil {
				return err
			}
		}
		if l.seq > 0 {
			break
		}
	}
	return nil
}

// takeTail reads the last lines of a file: enough to go on with the chain and to know
// what was written lately. torn is what follows the last whole line.
func (l *Log) takeTail(name string) (torn []byte, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	from := max(0, size-tail)
	end := make([]byte, size-from)
	if _, err := file.ReadAt(end, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	good := bytes.LastIndexByte(end, '\n') + 1
	torn = end[good:]
	whole := end[:good]
	if from > 0 {
		_, whole, _ = bytes.Cut(whole, []byte("\n"))
	}
	for line, raw := range lines(bytes.NewReader(whole)) {
		if line == nil {
			continue
		}
		if l.seq == 0 && line.Seq > 1 {
			l.since = line.At
		}
		l.seq, l.head = line.Seq, digest(raw)
		l.note(line.Entry)
	}
	return torn, nil
}

func (l *Log) note(e Entry) {
	if l.known != nil && e.Task != "" && e.Record > 0 {
		l.known[e.Task] = mark{max(l.known[e.Task].record, e.Record), max(l.known[e.Task].at, e.At)}
	}
}

// mend cuts what is not a whole line off audit.log.
func (l *Log) mend(torn []byte) error {
	size, err := l.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	l.size = size - int64(len(torn))
	if len(torn) == 0 {
		return nil
	}
	l.torn = &Entry{Event: Torn, Digest: digest(torn), Message: fmt.Sprintf("%d bytes were cut off", len(torn))}
	return l.file.Truncate(l.size)
}

// CaughtUp says that what tasks did before this start was told: from now on all that
// comes is new.
func (l *Log) CaughtUp() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.since = nil, 0
}

// Add writes an entry; At is now if it is not given. What cannot be written is counted,
// and said with the next that can: nothing waits for an audit log.
func (l *Log) Add(e Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, is := l.known[e.Task]; e.Record > 0 && (e.At < l.since || is && e.Record <= last.record && e.At <= last.at) {
		return // it was told before
	}
	if l.file == nil && (l.closed || l.open() != nil) {
		l.missed++
		return
	}
	if l.missed > 0 && l.add(Entry{Event: Missed, Count: l.missed}) {
		l.missed = 0
	}
	if l.missed > 0 || !l.add(e) {
		l.missed++
	}
}

// add writes a line; mu is held.
func (l *Log) add(e Entry) bool {
	if e.At == 0 {
		e.At = now()
	}
	raw, err := json.Marshal(Line{l.seq + 1, l.head, e})
	if err == nil && len(raw) >= maxLine {
		e.Argv, e.Message = nil, "too long to be kept here; see the task's own log"
		raw, err = json.Marshal(Line{l.seq + 1, l.head, e})
	}
	if err != nil {
		return false
	}
	if l.size > l.limit && l.putAside() != nil {
		return false
	}
	n, err := l.file.Write(append(raw, '\n'))
	if err != nil {
		_ = l.file.Truncate(l.size) // half a line is cut off at the next start, too
		return false
	}
	l.size += int64(n)
	l.seq, l.head = l.seq+1, digest(raw)
	l.note(e)
	select {
	case l.added <- struct{}{}:
	default: // it is known
	}
	return true
}

// putAside begins a new file.
func (l *Log) putAside() error {
	first, err := firstSeq(l.file.Name())
	if err != nil {
		return err
	}
	if err := os.Rename(l.file.Name(), filepath.Join(l.dir, fmt.Sprintf("audit-%012d.log", first))); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(l.dir, current), os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	old := l.file
	l.file, l.size = file, 0
	err = old.Close()
	files, listErr := Files(l.dir)
	for _, name := range files[:max(0, len(files)-1-maxKept)] {
		err = errors.Join(err, os.Remove(name))
	}
	return errors.Join(err, listErr)
}

// Close gives the log up.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
