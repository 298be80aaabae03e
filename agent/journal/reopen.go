package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"devserver-agent/protocol"
)

// Reopen brings back a task whose verdict was acknowledged, to say it all
// again: its cursor is at the beginning. For an open task it only moves the
// cursor. ErrUnknown if there is none.
func (s *Store) Reopen(id string) error {
	return s.rewind(id, func(_ *Task, c *Cursor) error {
		*c = Cursor{Round: c.Round + 1}
		return nil
	})
}

// Repeat brings back a task to say its statuses again; its output is asked for
// separately. ErrUnknown if there is none.
func (s *Store) Repeat(id string) error {
	return s.rewind(id, func(_ *Task, c *Cursor) error {
		c.Seq, c.VerdictAt, c.Round = 0, 0, c.Round+1
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
	t, err := s.bringBack(id, move)
	if t != nil {
		s.changed(t)
	}
	return err
}

// bringBack opens a task if it is not open and moves its cursor, before anybody
// can finish it. The cursor and the mark are synced: what goes back must not
// come forward again with a power cut, as it may when it only lags.
func (s *Store) bringBack(id string, move func(*Task, *Cursor) error) (*Task, error) {
	s.folders.Lock()
	defer s.folders.Unlock()
	t := s.Open(id)
	if t == nil {
		var err error
		if t, err = s.reopen(id); err != nil {
			return nil, fmt.Errorf("bring back task %s: %w", id, err)
		}
	}
	var refused error
	err := t.setCursor(func(c *Cursor) { refused = move(t, c) }, true)
	return t, errors.Join(refused, err)
}

func (s *Store) reopen(id string) (*Task, error) {
	if !protocol.ValidID(id) {
		return nil, ErrUnknown
	}
	if _, err := os.Lstat(s.folder(id)); errors.Is(err, fs.ErrNotExist) || err == nil && stray(s.folder(id)) {
		return nil, ErrUnknown
	}
	if err := s.putMark(id); err != nil {
		return nil, err
	}
	t, err := s.openTask(id)
	if err == nil && t.Damage() != nil {
		err = t.concludeDamaged()
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(s.mark(id)))
	}
	s.setOpen(t)
	return t, nil
}

// concludeDamaged gives a finished task whose log is damaged a verdict: it had
// one, and nobody runs it any more.
func (t *Task) concludeDamaged() error {
	_, err := t.Say(protocol.Status{
		Status: protocol.Failed, Phase: protocol.Done, Percent: 100, Code: protocol.JournalDamaged,
		Message: fmt.Sprintf("This task had ended, but the agent's record of it is damaged (%v), so its verdict is not known any more; nothing was started now.", t.damage),
	})
	return err
}

// putMark makes the mark of an open task, for good.
func (s *Store) putMark(id string) error {
	if err := os.WriteFile(s.mark(id), nil, 0o600); err != nil {
		return err
	}
	return syncDir(filepath.Join(s.opts.Dir, "open"))
}

func (s *Store) setOpen(t *Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[t.id] = t
}
