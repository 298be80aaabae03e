package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const reserveSize = 1 << 20

// reserve is room on the disk that running tasks need to come to their end.
type reserve struct {
	path string

	mu       sync.Mutex
	full     bool
	spending int // writes that were promised the room
}

// Full reports whether the disk was found full; nothing new is accepted then.
// It looks again, so it turns false once there is room.
func (s *Store) Full() bool {
	s.reserve.mu.Lock()
	defer s.reserve.mu.Unlock()
	if s.reserve.full {
		s.reserve.keep()
	}
	return s.reserve.full
}

// Write runs write and, if the disk is full, once more after the reserve was
// given up: what has begun must be able to end. ErrDiskFull if that is not
// enough.
func (s *Store) Write(write func() error) error {
	err := write()
	if !isFull(err) {
		return err
	}
	if spendErr := s.reserve.spend(); spendErr != nil {
		return errors.Join(err, spendErr)
	}
	// No lock is held meanwhile: write may wait for one whose holder is about to
	// spend the reserve too.
	defer s.reserve.spent()
	if err = write(); isFull(err) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

func (r *reserve) found() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = true
}

// spend gives the reserve up, and keeps it from being made anew until spent.
func (r *reserve) spend() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = true
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.spending++
	return nil
}

func (r *reserve) spent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spending--
}

// keep makes the reserve if it is not there. Without room for it the disk counts
// as full. r.mu is held.
func (r *reserve) keep() {
	if r.spending > 0 {
		return
	}
	if r.whole() {
		r.full = false
		return
	}
	file, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err == nil {
		err = errors.Join(allocate(file, reserveSize), file.Close())
	}
	r.full = err != nil
	if err != nil {
		_ = os.Remove(r.path) // half a reserve is room that others need
	}
}

// whole reports whether the reserve has real blocks: one whose maker died may
// have nothing but its length.
func (r *reserve) whole() bool {
	var stat unix.Stat_t
	return unix.Stat(r.path, &stat) == nil && stat.Size >= reserveSize && stat.Blocks*512 >= reserveSize
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// allocate gives a file real blocks, so that its removal gives room back.
func allocate(file *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(file.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			_, err = file.Write(make([]byte, size))
		}
		return err
	}
}
