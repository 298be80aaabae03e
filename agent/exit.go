package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
)

// ExitConfig is the exit code for what no restart mends (sysexits.h,
// EX_CONFIG); the service does not restart after it.
const ExitConfig = 78

// ended is an error that an agent came to while it ran. The next start finds out what
// is left of the state directory, and whether it needs an operator.
type ended struct{ error }

func (e ended) Unwrap() error { return e.error }

// ExitCode is the exit code that tells a service manager what to do about an
// error of Open or Run: 78 when only an operator can mend it, else 1.
func ExitCode(err error) int {
	if errors.As(err, new(ended)) || passes(err) {
		return 1
	}
	var configured *config.Error
	var path *os.PathError
	for _, known := range []error{journal.ErrLocked, journal.ErrOtherMachine, journal.ErrSchema, journal.ErrDamaged} {
		if errors.Is(err, known) {
			return ExitConfig
		}
	}
	if errors.As(err, &configured) || errors.As(err, &path) {
		return ExitConfig
	}
	return 1
}

// passes tells errors of a path that another start may not have from those that every
// start has.
func passes(err error) bool {
	for _, known := range []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EINTR, syscall.EAGAIN,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// Explain adds to an error of Open or Run what state the host is in and what an operator
// should do.
func Explain(err error) error {
	if errors.As(err, new(ended)) {
		return fmt.Errorf("%w; programs that run on this host run on, and the agent continues when it is started again", err)
	}
	for _, known := range []struct {
		err  error
		todo string
	}{
		{journal.ErrLocked, "stop the other agent, or give this one another state_dir"},
		{journal.ErrOtherMachine, "if the board was swapped on purpose run \"devserver-agent adopt\"; otherwise give this host a state directory of its own: a copied one would answer for tasks of another host"},
		{journal.ErrSchema, "install the agent version that wrote it, or a newer one"},
		{syscall.ENOSPC, "free room on the disk of its state directory, and start it again, as systemd does"},
		{syscall.EDQUOT, "raise the quota of its state directory's disk, and start it again, as systemd does"},
		{os.ErrPermission, "run the agent as root, or correct the owner and mode of its state directory"},
	} {
		if errors.Is(err, known.err) {
			return fmt.Errorf("%w; nothing was started on this host; %s", err, known.todo)
		}
	}
	return err
}
