// Package journal remembers every task: what was asked, what was decided, what
// was said of it. It is the agent's only memory; all that the other stations
// know after a restart they know from here.
//
// A state directory holds
//
//	lock               held by the one daemon that may write here
//	installation.json  who this agent is, and on which machine
//	reserve            1 MiB, given up when the disk is full
//	epoch              of the broker that has what the tasks said
//	open/ID            a task that has no acknowledged verdict yet
//	tasks/ID/          one task: envelope, log, cursor, steps/, output/
//	tmp/               folders on their way in or out, removed at start
//
// A task's folder appears by one rename, complete and synced, and goes by one;
// its log only grows. The record of a transition is the status that reports it,
// so both are there or neither.
//
// What happens when the process dies after each write:
//
//	open/ID made           -> no folder of that name: the mark is removed at start; the mailbox still has the task
//	tmp/ID written         -> removed at start; the same
//	tasks/ID renamed       -> the task is accepted; its status is sent after the restart
//	a record half written  -> cut off at start; it was never acted on
//	a record synced        -> the next start goes on from it
//	verdict synced         -> sent after the restart
//	verdict acknowledged   -> the cursor is behind: sent again, deduplicated by its number
//	log shrunk             -> the mark is still there: shrunk again, then the mark goes
//	cursor moved back      -> all that follows is sent again
//	folder moved to tmp    -> forgotten; the rest of it is removed at start
//
// A log that is found damaged is kept as log.damaged; the new one has what could
// still be read and a record that says so, until the verdict JOURNAL_DAMAGED.
package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Errors of this package, to be matched with errors.Is.
var (
	ErrLocked       = errors.New("another agent uses this state directory")
	ErrOtherMachine = errors.New("state directory belongs to another machine")
	ErrSchema       = errors.New("state directory was written by a newer agent")
	ErrDamaged      = errors.New("task's log is damaged")
	ErrDiskFull     = errors.New("disk of the state directory is full")
	ErrUnknown      = errors.New("no such task")
	ErrKnown        = errors.New("task is known already")
)

const schema = 1

// Options say where a Store lives and what it writes into its records.
type Options struct {
	Dir      string
	ServerID string
	Version  string // of the agent
	// Machine identifies the hardware and its operating system's installation.
	// "" is not compared.
	Machine string
	BootID  string
	// Adopt takes over a directory that belongs to another machine.
	Adopt bool
}

// Store is a state directory, opened by the one process that may write it. All
// methods may be called concurrently.
type Store struct {
	opts         Options
	lock         *os.File
	installation Installation
	reserve      reserve

	// folders is held while a task's folder comes, goes, shrinks or is brought
	// back. It is taken before a Task's lock and before mu.
	folders sync.Mutex

	mu        sync.Mutex
	open      map[string]*Task
	order     int64 // of the task admitted last
	listeners []func(*Task)

	recorded func(task string, rec Record) // nil: nobody listens
}

// Open takes the state directory and reads the tasks that are still open. A
// task whose log is damaged is opened all the same; see Task.Damage. Errors:
// ErrLocked, ErrOtherMachine, ErrSchema, or what the system said.
func Open(opts Options) (*Store, error) {
	for _, name := range []string{"", "tasks", "open", "tmp"} {
		dir := filepath.Join(opts.Dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
	}
	lock, err := takeLock(filepath.Join(opts.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, lock: lock, open: map[string]*Task{}}
	s.reserve.path = filepath.Join(opts.Dir, "reserve")
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) load() error {
	if err := s.identify(); err != nil {
		return err
	}
	if err := s.clearTemp(); err != nil {
		return err
	}
	s.reserve.mu.Lock()
	s.reserve.keep()
	s.reserve.mu.Unlock()
	marks, err := os.ReadDir(filepath.Join(s.opts.Dir, "open"))
	if err != nil {
		return fmt.Errorf("open tasks: %w", err)
	}
	for _, mark := range marks {
		id := mark.Name()
		task, err := s.openTask(id)
		if errors.Is(err, fs.ErrNotExist) {
			// Died between the mark and the folder: the task was never accepted.
			err = os.Remove(s.mark(id))
		} else if err == nil {
			s.open[id] = task
			s.order = max(s.order, task.accept.Order)
		}
		if err != nil {
			return fmt.Errorf("task %s: %w", id, err)
		}
	}
	return nil
}

// clearTemp removes what a death left half way.
func (s *Store) clearTemp() error {
	left, err := os.ReadDir(s.temp())
	for _, entry := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.temp(), entry.Name())))
	}
	if err != nil {
		return fmt.Errorf("clear what was left over: %w", err)
	}
	return nil
}

func takeLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

// Epoch is the broker's, as it was when everything had last been said to it; ""
// before.
func (s *Store) Epoch() (string, error) {
	raw, err := os.ReadFile(filepath.Join(s.opts.Dir, "epoch"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(raw), err
}

// SetEpoch remembers the broker's epoch.
func (s *Store) SetEpoch(epoch string) error {
	return s.Write(func() error { return writeFile(filepath.Join(s.opts.Dir, "epoch"), []byte(epoch)) })
}

// Dir is the state directory.
func (s *Store) Dir() string { return s.opts.Dir }

// Close gives the directory up. Tasks of it must not be used any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, t := range s.open {
		errs = append(errs, t.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Listen has fn called after every transition, admission and Touch, from the
// goroutine that made it. Call it before the store is used.
func (s *Store) Listen(fn func(*Task)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, fn)
}

// ListenRecords has fn told every record of the tasks that are open now, and from then
// on each that is added, after it is on disk. fn must not use the store. Call it
// before the store is used.
func (s *Store) ListenRecords(fn func(task string, rec Record)) error {
	for _, t := range s.AllOpen() {
		if err := t.tellRecords(fn); err != nil {
			return fmt.Errorf("task %s: %w", t.id, err)
		}
	}
	s.recorded = fn
	return nil
}

// tellRecords tells what a task's log holds.
func (t *Task) tellRecords(fn func(task string, rec Record)) error {
	records, _, err := readLog(t.dir) // what was damaged is mended by now
	for _, rec := range records {
		fn(t.id, rec)
	}
	return err
}

// Touch tells the listeners that a task may have more output.
func (s *Store) Touch(t *Task) { s.changed(t) }

func (s *Store) changed(t *Task) {
	s.mu.Lock()
	listeners := s.listeners
	s.mu.Unlock()
	for _, fn := range listeners {
		fn(t)
	}
}

func (s *Store) temp() string            { return filepath.Join(s.opts.Dir, "tmp") }
func (s *Store) folder(id string) string { return filepath.Join(s.opts.Dir, "tasks", id) }
func (s *Store) mark(id string) string   { return filepath.Join(s.opts.Dir, "open", id) }

// uptime is CLOCK_BOOTTIME in ms: it goes on while the host sleeps and starts
// again with it.
func uptime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return ts.Nano() / int64(time.Millisecond)
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}
