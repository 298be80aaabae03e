package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Surroundings start shims. A shim must live on when the agent ends.
type Surroundings interface {
	// Start starts the shim of an attempt that was prepared with a spec. gone is
	// closed when the shim is known to have ended.
	Start(dir string, spec Spec) (gone <-chan struct{}, err error)
	// Ready says why nothing can be started now, as ErrUnreachable; nil if it can.
	Ready(ctx context.Context) error
	// String says what they are and what they cannot do.
	String() string
}

// Attempt is one start of an action, seen from the agent.
type Attempt struct {
	Dir  string
	Boot string // id of the present boot
}

// Look says in which state the attempt is: its end, ErrInterrupted,
// ErrAbandoned, or running. An attempt that was prepared and not started is
// abandoned for good by looking, so look only when nobody is starting it.
func (a Attempt) Look() (exit Exit, running bool, err error) {
	if exit, err = a.recorded(); !errors.Is(err, fs.ErrNotExist) {
		return exit, false, err
	}
	lock, err := os.OpenFile(filepath.Join(a.Dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return exit, false, ErrAbandoned // not even its folder was made
	}
	if err != nil {
		return exit, false, fmt.Errorf("look at step: %w", err)
	}
	defer lock.Close()
	switch err := flock(lock, unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return exit, true, nil
	case err != nil:
		return exit, false, fmt.Errorf("look at step: lock: %w", err)
	}
	return a.lookLocked()
}

// recorded is the end that the shim wrote down; fs.ErrNotExist if it did not. Of
// one that the disk has spoilt only so much is known that it is over.
func (a Attempt) recorded() (Exit, error) {
	exit, err := readExit(a.Dir)
	if errors.Is(err, errSpoilt) {
		return Exit{}, ErrInterrupted
	}
	return exit, err
}

// lookLocked looks while the lock keeps every shim out.
func (a Attempt) lookLocked() (exit Exit, running bool, err error) {
	if exit, err = a.recorded(); !errors.Is(err, fs.ErrNotExist) {
		return exit, false, err
	}
	started, err := ReadStarted(a.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := writeJSON(a.Dir, abandonedFile, a.Boot, os.O_TRUNC); err != nil {
			return exit, false, fmt.Errorf("abandon step: %w", err)
		}
		return exit, false, ErrAbandoned
	}
	if err != nil {
		// Cut while it was written: the program had not been executed then, but
		// that cannot be told from a damaged file.
		return exit, false, ErrInterrupted
	}
	if started.Boot == a.Boot && len(members(started)) > 0 {
		return exit, true, nil // its shim is dead, it is not
	}
	return exit, false, ErrInterrupted
}

// Wait waits for the attempt's end, however it was started. gone may be nil for
// one that was found running. The error is ErrInterrupted, ErrAbandoned, or
// that ctx ended, after which the attempt runs on.
func (a Attempt) Wait(ctx context.Context, gone <-chan struct{}) (Exit, error) {
	if gone == nil {
		gone = a.released()
	}
	select {
	case <-gone:
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
	// The shim is gone. If it was killed, its program may still be there.
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		exit, running, err := a.Look()
		if !running {
			return exit, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Exit{}, context.Cause(ctx)
		}
	}
}

// released is closed when nobody holds the attempt's lock. It costs a thread
// until then, which an attempt found running after a restart is worth.
func (a Attempt) released() <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		lock, err := os.OpenFile(filepath.Join(a.Dir, lockFile), os.O_RDWR, 0)
		if err != nil {
			return // Look will say why
		}
		defer lock.Close()
		_ = flock(lock, unix.LOCK_SH) // the same
	}()
	return gone
}

// RunningFor is how long ago the attempt started; ok is false if it did not in
// this boot.
func (a Attempt) RunningFor() (d time.Duration, ok bool) {
	started, err := ReadStarted(a.Dir)
	if err != nil || started.Boot != a.Boot {
		return 0, false
	}
	return time.Duration(uptime()-started.Uptime) * time.Millisecond, true
}

// ShimLog is what the shim had to say, for an attempt that did not start.
func (a Attempt) ShimLog() string {
	raw, err := os.ReadFile(filepath.Join(a.Dir, shimLogFile))
	if err != nil {
		return ""
	}
	return string(raw[:min(len(raw), 1024)])
}
