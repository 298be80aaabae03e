package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"devserver-agent/protocol"
)

// View is a task as anybody may read it, while a daemon writes it or not.
type View struct {
	ID       string         `json:"id"`
	Accept   AcceptRecord   `json:"accept"`
	Statuses []StatusRecord `json:"statuses"`
	Cancel   *CancelRecord  `json:"cancel,omitempty"`
	Cursor   Cursor         `json:"cursor"`
	Open     bool           `json:"open"` // its verdict is not known to be acknowledged
}

// Latest is the newest transition.
func (v View) Latest() protocol.Status {
	if len(v.Statuses) == 0 {
		return protocol.Status{}
	}
	return v.Statuses[len(v.Statuses)-1].Status
}

// ReadTask reads one task of a state directory without taking it. With
// ErrDamaged the view holds what could be read; ErrUnknown if there is none.
func ReadTask(stateDir, id string) (View, error) {
	v := View{ID: id}
	if !protocol.ValidID(id) {
		return v, fmt.Errorf("task %.80q: %w", id, ErrUnknown)
	}
	dir := filepath.Join(stateDir, "tasks", id)
	records, damage, err := readLog(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return v, fmt.Errorf("task %s: %w", id, ErrUnknown)
	}
	if err != nil {
		return v, err
	}
	r := newReplay()
	for _, rec := range records {
		r.fold(rec)
	}
	if damage == nil {
		damage = r.lost()
	}
	v.Accept, v.Statuses, v.Cancel = r.accept, r.statuses, r.cancel
	if v.Cursor, err = readCursor(dir); err != nil {
		return v, err
	}
	_, err = os.Stat(filepath.Join(stateDir, "open", id))
	v.Open = err == nil
	return v, damage
}

// readLog reads the log of a task's folder. err is fs.ErrNotExist if there is
// no such folder, or nothing that was admitted; a folder without a log is damage.
func readLog(dir string) (records []Record, damage, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "log"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(dir); err != nil {
			return nil, nil, err
		}
		if stray(dir) {
			return nil, nil, fmt.Errorf("%s: no task: %w", dir, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("%w: its log is missing", ErrDamaged), nil
	}
	if err != nil {
		return nil, nil, err
	}
	records, _, damage = parse(data)
	return records, damage, nil
}

// stray reports whether a folder has nothing of what Admit puts into each before it has
// its name: somebody deleted a task, and a program that was still at work for it made a
// folder for itself. To know that one would be to know a task and never run it.
func stray(dir string) bool {
	for _, name := range []string{"log", "output"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}

// ReadAll reads every task of a state directory, newest first. Damaged ones are
// in it with what could be read.
func ReadAll(stateDir string) ([]View, error) {
	entries, err := os.ReadDir(filepath.Join(stateDir, "tasks"))
	if err != nil {
		return nil, err
	}
	var views []View
	for _, entry := range entries {
		v, err := ReadTask(stateDir, entry.Name())
		if errors.Is(err, ErrUnknown) {
			continue // being built, or removed meanwhile
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		views = append(views, v)
	}
	slices.SortStableFunc(views, func(a, b View) int { return cmp.Compare(b.firstAt(), a.firstAt()) })
	return views, nil
}

func (v View) firstAt() int64 {
	if len(v.Statuses) == 0 {
		return 0
	}
	return v.Statuses[0].Status.At
}

// IDs are the ids of all tasks of the directory, open or not, in no order.
func (s *Store) IDs() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.opts.Dir, "tasks"))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, entry := range entries {
		if protocol.ValidID(entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	return ids, nil
}
