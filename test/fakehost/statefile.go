package fakehost

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// State reads the state as the last change left it. Any number of processes may call it.
func (h *Host) State() (State, error) {
	raw, err := os.ReadFile(h.statePath())
	if err != nil {
		return State{}, fmt.Errorf("fakehost: %s is no fake host: %w", h.dir, err)
	}
	var s State
	if err := json.Unmarshal(raw, &s); err != nil {
		return State{}, fmt.Errorf("fakehost: %s: %w", h.statePath(), err)
	}
	return s, nil
}

// Update changes the state under the host's lock and writes the files that follow
// from it. When change fails nothing is altered and its error is returned. change
// must not use the host.
func (h *Host) Update(change func(*State) error) error {
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := h.State()
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	return h.commit(s)
}

// commit writes s and then the files that follow from it; the lock is held.
func (h *Host) commit(s State) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(h.statePath(), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return h.writeRoot(s)
}

// Trip reports whether a fault applies now and with which arguments. A fault with
// the argument times=N applies N times and then clears itself. match (nil: always)
// decides whether this is a case for the fault.
func (h *Host) Trip(f Fault, match func(Args) bool) (Args, bool, error) {
	s, err := h.State()
	if err != nil {
		return nil, false, err
	}
	args, on := s.Fault(f)
	if !on || (match != nil && !match(args)) {
		return nil, false, nil
	}
	if _, limited := args["times"]; !limited {
		return args, true, nil
	}
	err = h.Update(func(s *State) error {
		if args, on = s.Fault(f); !on {
			return nil
		}
		if left := args.Int("times", 1) - 1; left > 0 {
			args["times"] = fmt.Sprint(left)
		} else {
			delete(s.Faults, f)
		}
		return nil
	})
	return args, on, err
}

func (h *Host) statePath() string { return filepath.Join(h.dir, "state", "state.json") }

func (h *Host) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(h.dir, "state", "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("fakehost: lock the state: %w", err)
	}
	return func() { f.Close() }, nil
}

// replaceFile puts data at path in one step, also over a read-only file.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
