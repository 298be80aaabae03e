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
// accepted, whatever happens next. ErrDiskFull: nothing was accepted.
func (s *Store) Admit(a Admission) (*Task, error) {
	if s.Full() {
		return nil, ErrDiskFull
	}
	s.mu.Lock()
	s.order++
	a.Accept.Order = s.order
	s.mu.Unlock()
	if err := os.WriteFile(s.mark(a.ID), nil, 0o600); err != nil {
		return nil, s.admissionError(a.ID, err)
	}
	if err := s.buildFolder(a); err != nil {
		return nil, s.admissionError(a.ID, errors.Join(err, os.RemoveAll(s.newFolder(a.ID)), os.Remove(s.mark(a.ID))))
	}
	t, err := s.openTask(a.ID)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", a.ID, err)
	}
	s.mu.Lock()
	s.open[a.ID] = t
	s.mu.Unlock()
	s.changed(t)
	return t, nil
}

func (s *Store) admissionError(id string, err error) error {
	if isFull(err) {
		s.full.Store(true)
		err = fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return fmt.Errorf("accept task %s: %w", id, err)
}

func (s *Store) newFolder(id string) string { return filepath.Join(s.opts.Dir, "tasks", ".new-"+id) }

// buildFolder writes a task's folder beside its place, syncs it and renames it.
func (s *Store) buildFolder(a Admission) error {
	dir := s.newFolder(a.ID)
	if err := os.RemoveAll(dir); err != nil { // left by a death in the middle
		return err
	}
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
	if err := writeFile(filepath.Join(dir, "log"), lines); err != nil {
		return err
	}
	if err := os.Rename(dir, s.folder(a.ID)); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Join(s.opts.Dir, "tasks")), syncDir(filepath.Join(s.opts.Dir, "open")))
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

// Reopen brings back a task whose verdict was acknowledged, to say it all
// again: its cursor is at the beginning. For an open task it only moves the
// cursor. ErrUnknown if there is none.
func (s *Store) Reopen(id string) error {
	return s.rewind(id, func(_ *Task, c *Cursor) error {
		*c = Cursor{Round: c.Round + 1}
		return nil
	})
}

// Rewind brings back a task to send the output of one item again from an
// offset on. ErrUnknown if there is none.
func (s *Store) Rewind(id string, item int, from int64) error {
	return s.rewind(id, func(t *Task, c *Cursor) error {
		if t.accept.Task == nil || item < 0 || item >= len(t.accept.Task.Items) || from < 0 {
			return fmt.Errorf("task %s has no output %d from %d on", id, item, from)
		}
		c.SetSent(item, min(from, c.Sent(item)))
		return nil
	})
}

func (s *Store) rewind(id string, move func(*Task, *Cursor) error) error {
	t, err := s.bringBack(id)
	if err != nil {
		return err
	}
	var refused error
	err = t.SetCursor(func(c *Cursor) { refused = move(t, c) })
	s.changed(t)
	return errors.Join(refused, err)
}

func (s *Store) bringBack(id string) (*Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.open[id]; t != nil {
		return t, nil
	}
	if _, err := os.Stat(s.folder(id)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("task %s: %w", id, ErrUnknown)
	}
	if err := os.WriteFile(s.mark(id), nil, 0o600); err != nil {
		return nil, err
	}
	t, err := s.openTask(id)
	if err != nil {
		return nil, err
	}
	s.open[id] = t
	return t, nil
}

// Envelope is the statement the task came in, or nil for local work.
func (t *Task) Envelope() (*protocol.Envelope, error) {
	raw, err := os.ReadFile(filepath.Join(t.dir, "envelope"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e protocol.Envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("envelope of task %s: %w", t.id, err)
	}
	return &e, nil
}
