package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"devserver-agent/protocol"
)

// openTask opens a task's folder for writing; fs.ErrNotExist if there is none. A
// damaged log is put aside and one begun that holds what can still be read and
// says that it is not all, so that the task gets its verdict and nothing else,
// however often the agent dies before.
func (s *Store) openTask(id string) (*Task, error) {
	t := &Task{id: id, dir: s.folder(id), store: s, replay: newReplay()}
	var err error
	if t.cursor, err = readCursor(t.dir); err != nil {
		return nil, err
	}
	records, damage, err := readLog(t.dir)
	if err != nil {
		return nil, err
	}
	for _, rec := range records {
		t.fold(rec)
	}
	if newest := t.newest(); damage == nil && t.cursor.Seq > newest {
		damage = fmt.Errorf("%w: the broker has status %d, the log ends with %d", ErrDamaged, t.cursor.Seq, newest)
	}
	if damage != nil {
		if err := s.Write(func() error { return t.beginAnew(damage) }); err != nil {
			return nil, err
		}
	}
	t.damage = t.lost()
	t.log, err = openLog(t.path())
	return t, err
}

func (t *Task) path() string { return filepath.Join(t.dir, "log") }

// lost is ErrDamaged for a log that was damaged and has no verdict: it cannot be
// told from it what was done.
func (r *replay) lost() error {
	if r.damaged == nil || r.ended() {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrDamaged, r.damaged.Why)
}

// beginAnew replaces a damaged log and keeps it beside the new one, for those
// who look into it.
func (t *Task) beginAnew(damage error) error {
	data, err := os.ReadFile(t.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t.replay = newReplay()
	saved := salvage(data)
	for _, rec := range saved {
		t.fold(rec)
	}
	t.recoverAccept()
	var lines []byte
	n := 0
	add := func(rec Record) error {
		n++
		rec.N = n
		line, err := encode(rec)
		lines = append(lines, line...)
		return err
	}
	err = add(t.store.stamp(Record{Accept: &t.accept}, Record{}))
	for _, rec := range saved {
		if rec.Accept == nil && rec.Damage == nil {
			err = errors.Join(err, add(rec))
		}
	}
	why := strings.TrimPrefix(damage.Error(), ErrDamaged.Error()+": ")
	said := t.store.stamp(Record{Damage: &DamageRecord{Why: why}}, t.last)
	if err = errors.Join(err, add(said)); err != nil {
		return err
	}
	if err := putAside(t.path()); err != nil {
		return err
	}
	t.fold(said)
	return writeFile(t.path(), lines)
}

// putAside gives a file a second name, which costs no room on the disk. A log
// that is damaged once more replaces the one before.
func putAside(path string) error {
	aside := path + ".damaged"
	if err := os.Remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// recoverAccept reads from the envelope what the log cannot tell any more: which
// job the verdict belongs to, and how long the task must be remembered.
func (t *Task) recoverAccept() {
	e, err := t.Envelope()
	if t.accept.ExpiresAt != 0 || err != nil || e == nil {
		return
	}
	payload, err := e.Content()
	if err != nil {
		return
	}
	var task protocol.Task
	var cancel protocol.Cancel
	switch e.PayloadType {
	case protocol.TaskPayload:
		if json.Unmarshal(payload, &task) == nil {
			t.accept.Task, t.accept.ExpiresAt = &task, task.ExpiresAt
		}
	case protocol.CancelPayload:
		if json.Unmarshal(payload, &cancel) == nil {
			t.accept.ExpiresAt = cancel.ExpiresAt
		}
	}
	t.accept.Digest = protocol.Digest(*e)
}
