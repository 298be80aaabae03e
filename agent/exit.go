package agent

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
)

// ExitConfig is the exit code if every start would fail until an operator acts
// (sysexits.h, EX_CONFIG); the service does not restart after it.
const ExitConfig = 78

// notStarted is an error of Open: nothing was begun.
type notStarted struct{ error }

func (e notStarted) Unwrap() error { return e.error }

// whileRunning is an error that an agent came to while it ran, or closed.
type whileRunning struct{ error }

func (e whileRunning) Unwrap() error { return e.error }

// running marks an error as whileRunning; nil stays nil.
func running(err error) error {
	if err == nil {
		return nil
	}
	return whileRunning{err}
}

// ExitCode is the exit code that tells a service manager what to do about an
// error of Open, Run or Close: 78 if every start would fail until an operator acts,
// else 1.
func ExitCode(err error) int {
	if transient(err) {
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

// transient reports whether an error of a path may be gone at the next start.
func transient(err error) bool {
	for _, known := range []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE,
		syscall.EINTR, syscall.EAGAIN, syscall.ESTALE, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// Explain adds to an error of Open, Run or Close in which state the host is and what an
// operator should do. Other errors stay as they are.
func Explain(err error) error {
	if errors.As(err, new(whileRunning)) && errors.As(err, new(*os.PathError)) {
		todo := "if the state directory is gone, bring it back before the agent is started again: without it this host begins as a new installation, and the tasks that it had accepted fail"
		if transient(err) {
			todo = "the agent continues when it is started again, which systemd does"
		}
		return fmt.Errorf("%w; programs of tasks that run on this host run on; %s", err, todo)
	}
	if !errors.As(err, new(notStarted)) {
		return err
	}
	for _, known := range []struct {
		err  error
		todo string
	}{
		{journal.ErrLocked, "stop the other agent, or give this one another state_dir"},
		{journal.ErrOtherMachine, "if the board was swapped on purpose run \"devserver-agent adopt\"; otherwise give this host a state directory of its own: a copied one would answer for tasks of another host"},
		{journal.ErrSchema, "install the agent version that wrote it, or a newer one"},
		{syscall.ENOSPC, "free room on that disk; systemd tries the start again"},
		{syscall.EDQUOT, "raise the quota of that disk; systemd tries the start again"},
		{os.ErrPermission, "run the agent as root, or correct the owner and mode of its state directory"},
	} {
		if errors.Is(err, known.err) {
			return fmt.Errorf("%w; nothing was started on this host; %s", err, known.todo)
		}
	}
	return err
}
