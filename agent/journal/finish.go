package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"devserver-agent/protocol"
)

// Finish closes a task whose verdict and output the broker has, once. What only the
// replay needed is removed; verdict, digest, statuses and output stay until
// Forget.
func (s *Store) Finish(t *Task) error {
	if !t.Latest().Status.Terminal() {
		return fmt.Errorf("finish task %s: it has no verdict", t.id)
	}
	if end, _ := t.Stuck(); end != nil {
		return fmt.Errorf("finish task %s: step %s is still running", t.id, end.Step)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[t.id] != t {
		return nil // finished already
	}
	if err := t.shrink(); err != nil {
		return fmt.Errorf("finish task %s: %w", t.id, err)
	}
	delete(s.open, t.id)
	if err := os.Remove(s.mark(t.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finish task %s: %w", t.id, err)
	}
	return nil
}

func (t *Task) shrink() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []byte
	n := 0
	add := func(rec Record) error {
		n++
		rec.N, rec.Boot, rec.At = n, t.last.Boot, t.last.At
		line, err := encode(rec)
		lines = append(lines, line...)
		return err
	}
	err := add(Record{Accept: &t.accept})
	for _, status := range t.statuses {
		err = errors.Join(err, add(Record{Status: &status}))
	}
	if err == nil {
		err = writeFile(filepath.Join(t.dir, "log"), lines)
	}
	if err = errors.Join(err, os.RemoveAll(filepath.Join(t.dir, "steps"))); err != nil {
		return err
	}
	return t.log.close()
}

// Forget removes finished tasks whose results are older than keep and whose
// expiry is past by a day. now is the newest time that the broker or a signed
// statement vouches for: a host's clock that jumps ahead must not open the door
// to tasks that were already done. The folder is read a few names at a time.
func (s *Store) Forget(now time.Time, keep time.Duration) (forgotten int, err error) {
	dir, err := os.Open(filepath.Join(s.opts.Dir, "tasks"))
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(64)
		for _, id := range names {
			gone, err := s.forget(id, now, keep)
			if err != nil {
				return forgotten, fmt.Errorf("forget task %s: %w", id, err)
			}
			if gone {
				forgotten++
			}
		}
		if errors.Is(err, io.EOF) {
			return forgotten, nil
		}
		if err != nil {
			return forgotten, err
		}
	}
}

func (s *Store) forget(id string, now time.Time, keep time.Duration) (bool, error) {
	if !protocol.ValidID(id) || s.Open(id) != nil {
		return false, nil
	}
	// The log of a finished task is not written any more: most need no reading.
	info, err := os.Stat(filepath.Join(s.folder(id), "log"))
	if err == nil && now.Sub(info.ModTime()) < keep {
		return false, nil
	}
	view, err := ReadTask(s.opts.Dir, id)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return false, err
	}
	newest := view.Latest().At
	old := now.Sub(time.UnixMilli(newest)) > keep
	expired := now.Sub(time.UnixMilli(view.Accept.ExpiresAt)) > 24*time.Hour
	if !old || !expired {
		return false, nil
	}
	return true, os.RemoveAll(s.folder(id))
}
