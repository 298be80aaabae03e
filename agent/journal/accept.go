package journal

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"devserver-agent/agent/failpoint"
	"devserver-agent/protocol"
)

// Admission is what makes a task known: what was asked, and the first status.
type Admission struct {
	ID       string
	Accept   AcceptRecord
	Envelope *protocol.Envelope // as received; nil for local work
	First    protocol.Status    // ACCEPTED, or a terminal one for what is refused or a tombstone
}

// Admit puts a task on disk as a whole. When it returns nil the task is
// accepted, whatever happens next. ErrDiskFull and ErrKnown: nothing was
// accepted, and what was known stands.
func (s *Store) Admit(a Admission) (*Task, error) {
	if s.Full() {
		return nil, ErrDiskFull
	}
	t, err := s.admit(a)
	if err != nil {
		if isFull(err) {
			s.reserve.found()
			err = fmt.Errorf("%w: %w", ErrDiskFull, err)
		}
		return nil, fmt.Errorf("accept task %.80s: %w", a.ID, err)
	}
	failpoint.Hit(failpoint.Accepted) // before anybody is told
	s.changed(t)
	return t, nil
}

func (s *Store) admit(a Admission) (*Task, error) {
	if !protocol.ValidID(a.ID) {
		return nil, errors.New("its id is no id")
	}
	s.folders.Lock()
	defer s.folders.Unlock()
	if _, err := os.Lstat(s.folder(a.ID)); !errors.Is(err, fs.ErrNotExist) {
		if err != nil || !stray(s.folder(a.ID)) {
			return nil, errors.Join(ErrKnown, err)
		}
		if err := os.RemoveAll(s.folder(a.ID)); err != nil {
			return nil, err
		}
	}
	// By the clock, so that it is beyond those of tasks that ended, which nobody reads
	// at a start; and beyond that of each open task, whatever the clock says.
	s.order = max(s.order+1, time.Now().UnixMicro())
	a.Accept.Order = s.order
	built := filepath.Join(s.temp(), a.ID)
	if err := s.buildFolder(built, a); err != nil {
		return nil, errors.Join(err, os.RemoveAll(built))
	}
	// The mark is on disk before the folder: without one the task would be known
	// and never run.
	if err := s.putMark(a.ID); err != nil {
		return nil, errors.Join(err, os.RemoveAll(built))
	}
	if err := os.Rename(built, s.folder(a.ID)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(built), os.Remove(s.mark(a.ID)))
	}
	if err := syncDir(filepath.Join(s.opts.Dir, "tasks")); err != nil {
		return nil, errors.Join(err, os.Rename(s.folder(a.ID), built), os.Remove(s.mark(a.ID)))
	}
	t, err := s.openTask(a.ID)
	if err != nil {
		return nil, err
	}
	s.setOpen(t)
	if s.recorded != nil {
		_ = t.tellRecords(s.recorded) // it is accepted whether or not it can be read again
	}
	return t, nil
}

// buildFolder writes a task's folder away from its place and syncs it.
func (s *Store) buildFolder(dir string, a Admission) error {
	for _, d := range []string{dir, filepath.Join(dir, "steps"), filepath.Join(dir, "output")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	if a.Envelope != nil {
		raw, err := json.Marshal(a.Envelope)
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, "envelope"), raw, true); err != nil {
			return err
		}
	}
	lines, err := s.firstLines(a)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "log"), lines)
}

func (s *Store) firstLines(a Admission) ([]byte, error) {
	first := s.sign(a.First, a.Accept, a.ID)
	first.Seq = 1
	var lines []byte
	for i, rec := range []Record{{Accept: &a.Accept}, {Status: &StatusRecord{MsgID: randomHex(), Status: first}}} {
		rec = s.stamp(rec, Record{})
		rec.N = i + 1
		line, err := encode(rec)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line...)
	}
	return lines, nil
}

// Open finds a task that has no acknowledged verdict yet, or nil.
func (s *Store) Open(id string) *Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[id]
}

// AllOpen are the open tasks in the order they were accepted.
func (s *Store) AllOpen() []*Task {
	s.mu.Lock()
	tasks := make([]*Task, 0, len(s.open))
	for _, t := range s.open {
		tasks = append(tasks, t)
	}
	s.mu.Unlock()
	slices.SortFunc(tasks, func(a, b *Task) int { return cmp.Compare(a.accept.Order, b.accept.Order) })
	return tasks
}

// Envelope is the statement the task came in. It is nil for local work, and for
// a task whose envelope the disk has spoilt: its statuses must get out all the
// same.
func (t *Task) Envelope() (*protocol.Envelope, error) {
	raw, err := os.ReadFile(filepath.Join(t.dir, "envelope"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e protocol.Envelope
	if json.Unmarshal(raw, &e) != nil {
		return nil, nil //nolint:nilerr // a spoilt envelope must hold up no status
	}
	return &e, nil
}
