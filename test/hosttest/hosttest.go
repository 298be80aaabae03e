// Package hosttest is an executors.Host for tests of executors: real programs
// and files under a folder, with memos and steps kept in memory.
//
// It keeps the contract of executors.Host, its checked replay included, but not
// through the end of the process. Replay begins the item again, as the agent
// does after it was killed; Cut loses the end of a step, as a pulled plug does.
package hosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/executors"
)

// Host is an executors.Host over a folder. Like any, it is for one item and not
// safe for concurrent use.
type Host struct {
	// QueryTimeout is how long a Query may take; 0: executors.QueryTimeout.
	QueryTimeout time.Duration
	// TimeoutOf, if set, is how long a Query of these words may take; where it says 0,
	// QueryTimeout counts. A test of a tool that hangs shortens the time of that one: the
	// others may be slow on a busy machine. It is called concurrently.
	TimeoutOf func(argv []string) time.Duration
	// BootID is the host's present boot. OnRestart gives it another one.
	BootID string
	// Env is added to the environment of the programs.
	Env []string
	// OnProgress, if set, is called with what Progress is told.
	OnProgress func(Progress)
	// Play, if set, plays the program at path for a Query without starting a process, or
	// reports that it does not, having printed nothing: see tool.InProcess of the fake host.
	Play func(path string, args []string, out io.Writer) (status int, played bool)
	// OnRestart restarts the host; nil: the task does not allow it.
	OnRestart func(name string)

	root   string
	files  fs.FS
	memos  map[string]json.RawMessage
	steps  []*attempt
	cut    map[string]int         // how many of a step's next attempts lose their end
	hung   map[string]func() bool // by step: since when its program counts as hanging
	asked  map[string]int         // since the last Replay, how often a step was asked for
	output bytes.Buffer
	said   []Progress

	restarted map[string]bool // names of the restarts that were
	scratch   string
}

// Only is a TimeoutOf that is about all queries of one tool.
func Only(tool string, limit time.Duration) func(argv []string) time.Duration {
	return func(argv []string) time.Duration {
		if argv[0] == tool {
			return limit
		}
		return 0
	}
}

// Progress is one call of Host.Progress.
type Progress struct {
	Percent int
	What    string
}

// attempt is one start of a step.
type attempt struct {
	executors.Command
	number int
	exit   executors.Exit
	err    error
	output []byte // what it printed
}

var _ executors.Host = (*Host)(nil)

// New returns a Host over the folder root until the test ends.
func New(t testing.TB, root string) *Host {
	t.Helper()
	dir, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	h := &Host{root: root, files: dir.FS(), memos: map[string]json.RawMessage{}, cut: map[string]int{}, hung: map[string]func() bool{}, restarted: map[string]bool{}, scratch: t.TempDir()}
	h.Replay()
	return h
}

// Replay begins the item anew: what was recorded answers from now on.
func (h *Host) Replay() { h.asked = map[string]int{} }

// Cut makes the next attempt of a step lose its end: the program runs, and
// Command answers ErrInterrupted, now and on every replay. Called twice it does so
// with the attempt after that too.
func (h *Host) Cut(step string) { h.cut[step]++ }

// Hang declares that the program of a step hangs once seen is true. Its timeout, which
// it must have, comes then: a test of a hanging program needs not wait for it.
func (h *Host) Hang(step string, seen func() bool) { h.hung[step] = seen }

// Output is what the item printed, its programs included.
func (h *Host) Output() string { return h.output.String() }

// Told is what Progress was told, in order.
func (h *Host) Told() []Progress { return h.said }

// Started is what a step's program was started with, each time.
func (h *Host) Started(step string) (commands []executors.Command) {
	for _, a := range h.steps {
		if a.Step == step {
			commands = append(commands, a.Command)
		}
	}
	return commands
}

// Starts counts how often a step's program was started.
func (h *Host) Starts(step string) int { return len(h.Started(step)) }

// Root is the folder's path.
func (h *Host) Root() string { return h.root }

// Boot is BootID.
func (h *Host) Boot() string { return h.BootID }

// Files is the folder.
func (h *Host) Files() fs.FS { return h.files }

// Restart calls OnRestart once for each name and returns ErrStopping; in the
// replays after that it returns nil. Without OnRestart, or after ctx ended, there
// is no restart.
func (h *Host) Restart(ctx context.Context, name string) error {
	switch {
	case h.restarted[name]:
		return nil
	case h.OnRestart == nil:
		return executors.ErrNoRestart
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	h.restarted[name] = true
	h.OnRestart(name)
	return executors.ErrStopping
}

// Scratch is a folder that is gone with the test.
func (h *Host) Scratch() (string, error) { return h.scratch, nil }

// Progress remembers what it is told.
func (h *Host) Progress(percent int, what string) {
	p := Progress{Percent: percent, What: what}
	h.said = append(h.said, p)
	if h.OnProgress != nil {
		h.OnProgress(p)
	}
}

// Printf writes to the item's output.
func (h *Host) Printf(format string, args ...any) { fmt.Fprintf(&h.output, format, args...) }

// Memo answers with what fn returned the first time it succeeded.
func (h *Host) Memo(ctx context.Context, name string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	if value, known := h.memos[name]; known {
		return value, nil
	}
	value, err := fn(ctx)
	if err != nil {
		return nil, err
	}
	h.memos[name] = value
	return value, nil
}

// usual are the folders of the host in which a tool is looked for.
var usual = []string{
	"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin",
	"usr/local/Ascend/driver/tools", "usr/local/Ascend/toolbox/latest/Ascend-DMI/bin",
}

// find is the path of a tool under the root.
func (h *Host) find(tool string) (string, error) {
	if strings.HasPrefix(tool, h.scratch+"/") {
		return tool, nil
	}
	if filepath.IsAbs(tool) {
		return h.executable(tool)
	}
	for _, dir := range usual {
		if path, err := h.executable(filepath.Join(dir, tool)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", tool, executors.ErrNotFound)
}

func (h *Host) executable(name string) (string, error) {
	path := filepath.Join(h.root, name)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s: %w", name, executors.ErrNotFound)
	}
	return path, nil
}

// environment lets scripts find their own tools on the real system.
func (h *Host) environment() []string {
	dirs := make([]string, 0, len(usual))
	for _, dir := range usual {
		dirs = append(dirs, filepath.Join(h.root, dir))
	}
	path := strings.Join(append(dirs, os.Getenv("PATH")), ":")
	return append([]string{"PATH=" + path, "HOST_ROOT=" + h.root, "LC_ALL=C"}, h.Env...)
}
