package fakehost

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Main runs the tests of a package that calls it in its TestMain, and returns their exit
// code. To build a host costs more than most tests that use one. What costs is its 170
// files, so that a copy would be as dear; to bring one back takes a quarter of it. In such
// a package ForTest gives a host that an earlier test is done with to the next one that
// asks for the same, brought back, file by file, to what New had built. The hosts are gone
// when Main returns.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fakehosts-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, "fakehost:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	pool = newHostPool(dir)
	return m.Run()
}

// pool is nil in packages that do not call Main.
var pool *hostPool

// reuse gives a host of the pool to a test until that ends.
func reuse(t testing.TB, k kind) *Host {
	t.Helper()
	h, err := pool.get(k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.put(k, h, t.Failed()); err != nil {
			t.Errorf("fakehost: %v", err)
		}
	})
	return h.Host
}

// hostPool keeps the hosts that no test has at the moment.
type hostPool struct {
	dir string

	mu    sync.Mutex
	built int
	free  map[kind][]*reusable
}

// kind is what hosts have in common that may stand in for each other.
type kind struct {
	model   Model
	options Options
}

// reusable is a host and all that New built of it.
type reusable struct {
	*Host
	built map[string]entry // by path below the host's folder
}

// entry is one file, folder or link.
type entry struct {
	mode fs.FileMode
	text []byte // of a file, or what a link points at
}

func newHostPool(dir string) *hostPool { return &hostPool{dir: dir, free: map[kind][]*reusable{}} }

// get takes a free host or builds one.
func (p *hostPool) get(k kind) (*reusable, error) {
	h, dir := p.pick(k)
	if h != nil {
		return h, nil
	}
	built, err := New(dir, k.model, k.options)
	if err != nil {
		return nil, err
	}
	tree, err := readTree(dir)
	return &reusable{built, tree}, err
}

// pick takes a free host; there is none: it names a folder to build one in.
func (p *hostPool) pick(k kind) (free *reusable, dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free[k]) - 1; last >= 0 {
		free, p.free[k] = p.free[k][last], p.free[k][:last]
		return free, ""
	}
	p.built++
	return nil, filepath.Join(p.dir, fmt.Sprint(p.built))
}

// put takes a host back. One whose test failed, or that still runs or has a tool that does,
// is thrown away: it would write into the next test's host.
func (p *hostPool) put(k kind, h *reusable, failed bool) error {
	if failed || h.ping() == nil || h.busy() {
		return os.RemoveAll(h.dir)
	}
	if err := h.restore(); err != nil {
		return errors.Join(err, os.RemoveAll(h.dir))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free[k] = append(p.free[k], h)
	return nil
}

// busy reports whether a process has the host's folder in its command line, as its tools do.
func (h *reusable) busy() bool {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	return slices.ContainsFunc(lines, func(name string) bool {
		line, err := os.ReadFile(name) // it may have ended
		return err == nil && bytes.Contains(line, []byte(h.dir+"/"))
	})
}

// restore makes the host's folder hold what New built and nothing else.
func (h *reusable) restore() error {
	now, err := readTree(h.dir)
	if err != nil {
		return err
	}
	for path, is := range now {
		was, known := h.built[path]
		if !known || was.mode.Type() != is.mode.Type() {
			if err := os.RemoveAll(filepath.Join(h.dir, path)); err != nil {
				return err
			}
		}
	}
	for path, was := range h.built {
		if is, there := now[path]; there && is.mode == was.mode && bytes.Equal(is.text, was.text) {
			continue
		}
		if err := was.write(filepath.Join(h.dir, path)); err != nil {
			return err
		}
	}
	return nil
}

// write puts the entry in its place; what is there is of the same type.
func (e entry) write(path string) error {
	switch e.mode.Type() {
	case fs.ModeDir:
		return errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, e.mode.Perm()))
	case fs.ModeSymlink:
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(string(e.text), path))
	}
	return replaceFile(path, e.text, e.mode.Perm())
}

// readTree reads all that is below a folder.
func readTree(dir string) (map[string]entry, error) {
	tree := map[string]entry{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{mode: info.Mode()}
		switch e.mode.Type() {
		case 0:
			e.text, err = os.ReadFile(path)
		case fs.ModeSymlink:
			var to string
			to, err = os.Readlink(path)
			e.text = []byte(to)
		}
		tree[path[len(dir):]] = e
		return err
	})
	return tree, err
}
