// Package launch starts programs whose files may just have been written.
package launch

import (
	"errors"
	"os/exec"
	"syscall"
	"time"
)

const (
	// patience is how long a file may stay open for writing. The kernel refuses to
	// run such a one (ETXTBSY of execve(2)), and one that this process has written
	// and closed can still be open in a child that another goroutine has forked and
	// that has not begun its own program yet: https://go.dev/issue/22315.
	patience = 3 * time.Second
	pause    = 5 * time.Millisecond
)

// Start starts the command that build makes. While its file is open for writing
// it tries again, each time with another command from build, for up to three
// seconds; then it returns what the kernel says: an error that is
// [syscall.ETXTBSY]. Other errors are those of [exec.Cmd.Start], at once.
func Start(build func() *exec.Cmd) (*exec.Cmd, error) { return within(patience, build) }

func within(patience time.Duration, build func() *exec.Cmd) (*exec.Cmd, error) {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		cmd := build()
		err := cmd.Start()
		if err == nil {
			return cmd, nil
		}
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(end) {
			return nil, err
		}
	}
}
