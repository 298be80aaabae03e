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

// Finish closes a task whose verdict and output the broker has, once. What only
// the replay needed is removed; verdict, digest, statuses and output stay until
// Forget. A task that was asked for again meanwhile, so that it has more to say,
// stays open; local work has nobody to say it to.
func (s *Store) Finish(t *Task) error {
	if !t.Latest().Status.Terminal() {
		return fmt.Errorf("finish task %s: it has no verdict", t.id)
	}
	if end, _ := t.Stuck(); end != nil {
		return fmt.Errorf("finish task %s: step %s is still running", t.id, end.Step)
	}
	s.folders.Lock()
	defer s.folders.Unlock()
	if s.Open(t.id) != t {
		return nil // finished already
	}
	closed, err := t.shrink()
	if err != nil {
		return fmt.Errorf("finish task %s: %w", t.id, err)
	}
	if !closed {
		return nil
	}
	s.mu.Lock()
	delete(s.open, t.id)
	s.mu.Unlock()
	if err := os.Remove(s.mark(t.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("finish task %s: %w", t.id, err)
	}
	return nil
}

// shrink rewrites the log and closes it. It reports false, and does nothing, for
// a task that has more to say.
func (t *Task) shrink() (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.accept.Local && !t.delivered() {
		return false, nil
	}
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
		err = writeFile(t.path(), lines)
	}
	if err = errors.Join(err, os.RemoveAll(filepath.Join(t.dir, "steps")), os.RemoveAll(filepath.Join(t.dir, "scratch"))); err != nil {
		return false, err
	}
	t.finished = true
	return true, t.log.close()
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
	var failed []error
	for {
		names, err := dir.Readdirnames(64)
		for _, id := range names {
			gone, err := s.forget(id, now, keep)
			if err != nil {
				// It may not keep the others: a disk that fills up harms them all.
				failed = append(failed, fmt.Errorf("forget task %s: %w", id, err))
			}
			if gone {
				forgotten++
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			failed = append(failed, err)
		}
		if err != nil {
			return forgotten, errors.Join(failed...)
		}
	}
}

func (s *Store) forget(id string, now time.Time, keep time.Duration) (bool, error) {
	if !protocol.ValidID(id) || s.Open(id) != nil {
		return false, nil
	}
	if forgettable, err := s.forgettable(id, now, keep); !forgettable {
		return false, err
	}
	// It goes by a rename, so that nobody sees half of it.
	gone := filepath.Join(s.temp(), id)
	if moved, err := s.takeAway(id, gone); !moved {
		return false, err
	}
	return true, os.RemoveAll(gone)
}

func (s *Store) takeAway(id, to string) (bool, error) {
	s.folders.Lock()
	defer s.folders.Unlock()
	if s.Open(id) != nil {
		return false, nil // somebody brought it back meanwhile
	}
	err := errors.Join(os.RemoveAll(to), os.Rename(s.folder(id), to))
	return err == nil, err
}

func (s *Store) forgettable(id string, now time.Time, keep time.Duration) (bool, error) {
	// The log of a finished task is not written any more: most need no reading.
	info, err := os.Stat(filepath.Join(s.folder(id), "log"))
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(s.folder(id))
	}
	if err != nil {
		return false, err
	}
	if now.Sub(info.ModTime()) < keep {
		return false, nil
	}
	view, err := ReadTask(s.opts.Dir, id)
	if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrUnknown) {
		return false, err
	}
	newest, expires := view.Latest().At, view.Accept.ExpiresAt
	if task := view.Accept.Task; task != nil {
		newest = max(newest, task.IssuedAt) // signed, while the host's clock may have been behind
	}
	if err != nil {
		// How long it must be remembered may be lost. It was not longer than this.
		expires = max(expires, info.ModTime().Add(protocol.MaxValidity).UnixMilli())
	}
	old := now.Sub(time.UnixMilli(newest)) > keep
	expired := now.Sub(time.UnixMilli(expires)) > 24*time.Hour
	return old && expired, nil
}
