package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"devserver-agent/executors"
)

// Asker runs a program that only answers, as executors.Host.Query does.
type Asker interface {
	Query(ctx context.Context, argv ...string) (executors.Reply, error)
}

const (
	maxPlugins     = 64
	maxDescription = 256 << 10 // bytes
)

// Load asks the plug-ins of a folder what they can do. A plug-in that is not fit is
// left out and part of the error; those that are fit are returned with it. taken says
// which types others have: a plug-in does not replace them. "" has no plug-ins.
//
// A plug-in runs as root, so the folder, those above it and the files must belong to
// root, or to who runs the agent, and be writable by nobody else. Files that begin
// with a dot, or that nobody may execute, are passed over.
func Load(ctx context.Context, ask Asker, dir string, taken func(kind string) bool) (map[string]executors.Executor, error) {
	if dir == "" {
		return nil, nil
	}
	if err := guarded(dir); err != nil {
		return nil, fmt.Errorf("executors.plugin_dir: %w; no plug-in is used", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("executors.plugin_dir: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !strings.HasPrefix(e.Name(), ".") && (info.Mode()&0o111 != 0 || !info.Mode().IsRegular()) && !e.IsDir() {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	if len(paths) > maxPlugins {
		return nil, fmt.Errorf("executors.plugin_dir: %s has %d plug-ins, more than %d", dir, len(paths), maxPlugins)
	}
	answers := make([][]kind, len(paths))
	refused := make([]error, len(paths))
	var all sync.WaitGroup
	for i, path := range paths {
		all.Go(func() { answers[i], refused[i] = describe(ctx, ask, path) })
	}
	all.Wait()
	found := map[string]executors.Executor{}
	for i, kinds := range answers {
		for _, k := range kinds {
			if taken(k.Type) || found[k.Type] != nil {
				refused = append(refused, fmt.Errorf("plug-in %s: there is a %s already", paths[i], k.Type))
				continue
			}
			p := Plugin{path: paths[i], is: k}
			found[k.Type] = p
			if k.verify {
				found[k.Type] = verifying{p}
			}
		}
	}
	return found, errors.Join(refused...)
}

func describe(ctx context.Context, ask Asker, path string) ([]kind, error) {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file, or a link")
	}
	if err == nil {
		err = own(path, info)
	}
	if err != nil {
		return nil, fmt.Errorf("plug-in %s: %w", path, err)
	}
	reply, err := ask.Query(ctx, path, "describe")
	switch {
	case err != nil:
		return nil, fmt.Errorf("plug-in %s: describe: %w", path, err)
	case reply.Code != 0:
		return nil, fmt.Errorf("plug-in %s: describe ended with exit code %d: %.200q", path, reply.Code, reply.Output)
	case len(reply.Output) > maxDescription:
		return nil, fmt.Errorf("plug-in %s: describe printed more than %d bytes", path, maxDescription)
	}
	kinds, err := parse(reply.Output)
	if err != nil {
		return nil, fmt.Errorf("plug-in %s: describe: %w", path, err)
	}
	return kinds, nil
}

// guarded reports whether only root, or who runs the agent, can put something into
// a folder or move it.
func guarded(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for at := abs; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		sticky := info.Mode()&fs.ModeSticky != 0 && at != abs // such as /tmp: others cannot move what is not theirs
		if err := own(at, info); err != nil && !sticky {
			return err
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func own(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("whose %s is cannot be told", path)
	case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, not to root; chown it", path, stat.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others than its owner (mode %v); chmod go-w", path, info.Mode().Perm())
	}
	return nil
}
