package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"devserver-agent/agent/config"
	"devserver-agent/agent/journal"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	path := func(err error) error {
		return fmt.Errorf("state directory: %w", &os.PathError{Op: "mkdir", Path: "/state", Err: err})
	}
	opening := func(err error) error { return notStarted{err} }
	for name, c := range map[string]struct {
		err  error
		code int
		says string // after the error itself
	}{
		"another agent":               {opening(journal.ErrLocked), ExitConfig, "; nothing was started on this host; stop the other agent"},
		"another machine":             {opening(journal.ErrOtherMachine), ExitConfig, "; nothing was started on this host; if the board was swapped"},
		"a newer agent's state":       {opening(journal.ErrSchema), ExitConfig, "; nothing was started on this host; install"},
		"a damaged installation":      {opening(journal.ErrDamaged), ExitConfig, ""},
		"a configuration":             {&config.Error{}, ExitConfig, ""},
		"what is not there":           {opening(path(syscall.ENOENT)), ExitConfig, ""},
		"what may not be read":        {opening(path(syscall.EACCES)), ExitConfig, "; nothing was started on this host; run the agent as root"},
		"a file where a folder is":    {opening(path(syscall.ENOTDIR)), ExitConfig, ""},
		"a disk that is read-only":    {opening(path(syscall.EROFS)), ExitConfig, ""},
		"a full disk":                 {opening(path(syscall.ENOSPC)), 1, "; nothing was started on this host; free room"},
		"a full share of the disk":    {opening(path(syscall.EDQUOT)), 1, "; nothing was started on this host; raise the quota"},
		"a disk that fails":           {opening(path(syscall.EIO)), 1, ""},
		"too many open files":         {opening(path(syscall.EMFILE)), 1, ""},
		"any other":                   {opening(errors.New("nobody knows")), 1, ""},
		"a full disk for the output":  {path(syscall.ENOSPC), 1, ""},
		"a folder that went, later":   {running(path(syscall.ENOENT)), ExitConfig, "; programs of tasks that run on this host run on; if the state directory is gone, bring it back"},
		"what may not be read, later": {running(path(syscall.EACCES)), ExitConfig, "; programs of tasks that run on this host run on; if the state directory is gone, bring it back"},
		"a disk that fails, later":    {errors.Join(running(path(syscall.EIO)), nil), 1, "; programs of tasks that run on this host run on; the agent continues"},
		"a port in use":               {running(errors.New("bind: address already in use")), 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrapped := fmt.Errorf("run: %w", c.err)
			if code := ExitCode(wrapped); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			said, ok := strings.CutPrefix(Explain(wrapped).Error(), wrapped.Error())
			if !ok || !strings.HasPrefix(said, c.says) || c.says == "" && said != "" {
				t.Errorf("%q is added, want %q", said, c.says)
			}
		})
	}
}
