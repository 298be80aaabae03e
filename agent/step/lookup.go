package step

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"devserver-agent/executors"
)

// Tools finds the host's programs and gives them their environment.
type Tools struct {
	Root  string            // prefix of the host's files; "" or "/" is the host itself
	Paths map[string]string // programs whose place is configured, by name
	// Play answers a query in place of the program, on a host that is simulated;
	// nil: the program is run.
	Play func(ctx context.Context, argv []string) (executors.Reply, error)
	// QueryTimeout ends a query before executors.QueryTimeout does; 0: it does not.
	QueryTimeout time.Duration
}

// places are where a program is looked for, below Root. The driver's own tools
// come last: a copy on the PATH is the one an operator would run.
var places = []string{
	"usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin",
	"usr/local/Ascend/driver/tools", "usr/local/Ascend/toolbox/latest/Ascend-DMI/bin",
}

// Find is the file of a program. A name with a slash is a path and taken as it
// is. ErrNotFound if there is none.
func (t Tools) Find(name string) (string, error) {
	if path := t.Paths[name]; path != "" {
		return path, nil
	}
	if strings.ContainsRune(name, '/') {
		return name, nil
	}
	for _, place := range places {
		path := filepath.Join(t.Base(), place, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, executors.ErrNotFound)
}

// Query runs a program that only reads; the contract is executors.Host.Query's.
func (t Tools) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	if t.Play != nil {
		return t.Play(ctx, argv)
	}
	path, err := t.Find(argv[0])
	if err != nil {
		return executors.Reply{}, err
	}
	if t.QueryTimeout > 0 {
		bounded, cancel := context.WithTimeoutCause(ctx, t.QueryTimeout, executors.ErrTimeout)
		defer cancel()
		ctx = bounded
	}
	return Query(ctx, path, argv, t.Environ())
}

// Files is the host's file system, to read.
func (t Tools) Files() fs.FS { return os.DirFS(t.Base()) }

// Environ is the environment of every program: nothing of the agent's own but
// what the vendor's tools need to find their libraries.
func (t Tools) Environ() []string {
	var path []string
	for _, place := range places {
		path = append(path, filepath.Join(t.Base(), place))
	}
	if t.Base() != "/" {
		// A root that is not the host's own lacks the shell and its tools.
		path = append(path, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
	}
	env := []string{"PATH=" + strings.Join(path, ":"), "LC_ALL=C", "HOME=/root"}
	if libraries := os.Getenv("LD_LIBRARY_PATH"); libraries != "" {
		env = append(env, "LD_LIBRARY_PATH="+libraries)
	}
	return env
}

// Base is the folder that the host's files are under.
func (t Tools) Base() string {
	if t.Root == "" {
		return "/"
	}
	return t.Root
}
