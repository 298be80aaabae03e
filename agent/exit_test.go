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
	for name, c := range map[string]struct {
		err  error
		code int
		says string
	}{
		"another agent":               {journal.ErrLocked, ExitConfig, "stop the other agent"},
		"a configuration":             {&config.Error{}, ExitConfig, ""},
		"what is not there":           {path(syscall.ENOENT), ExitConfig, ""},
		"what may not be read":        {path(syscall.EACCES), ExitConfig, "run the agent as root"},
		"a file where a folder is":    {path(syscall.ENOTDIR), ExitConfig, ""},
		"a full disk":                 {path(syscall.ENOSPC), 1, "free room"},
		"a full share of the disk":    {path(syscall.EDQUOT), 1, "raise the quota"},
		"a disk that fails":           {path(syscall.EIO), 1, ""},
		"too many open files":         {path(syscall.EMFILE), 1, ""},
		"any other":                   {errors.New("nobody knows"), 1, ""},
		"a folder that went, later":   {ended{path(syscall.ENOENT)}, 1, "started again"},
		"what may not be read, later": {ended{path(syscall.EACCES)}, 1, "started again"},
		"a damaged log, later":        {ended{journal.ErrDamaged}, 1, "started again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrapped := fmt.Errorf("run: %w", c.err)
			if code := ExitCode(wrapped); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if said := Explain(wrapped).Error(); !strings.Contains(said, c.says) {
				t.Errorf("%q does not say %q", said, c.says)
			}
		})
	}
}
