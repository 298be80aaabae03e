package fakehost

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAHostIsReusedAsItWasBuilt(t *testing.T) {
	p, k := newHostPool(t.TempDir()), kind{P310, Options{Binary: Binary(t), Pace: 1}}
	first, err := p.get(k)
	if err != nil {
		t.Fatal(err)
	}
	state, err := first.State()
	if err != nil {
		t.Fatal(err)
	}
	// What tests do to a host, and what happens on it.
	err = errors.Join(
		first.SetFault(CardLost), first.SetFault(BusyProcess), first.Reboot(),
		os.WriteFile(first.Path("/proc/meminfo"), []byte("MemTotal: 1 kB\n"), 0o644),
		os.MkdirAll(first.Path("/var/log/npu/slog"), 0o700), os.Symlink("/nowhere", first.Path("/var/log/npu/link")),
		syscall.Mkfifo(first.Path("/var/log/npu/pipe"), 0o600),
		os.RemoveAll(first.Path("/sys")), os.Symlink("/sys", first.Path("/sys")),
		os.Remove(first.Path("/etc/group")), os.Mkdir(first.Path("/etc/group"), 0o755),
		os.Remove(first.binaryPath()), os.Symlink("/bin/true", first.binaryPath()),
		os.Chmod(first.Path("/etc/passwd"), 0o600), os.Chmod(first.Path("/dev"), 0o700),
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.put(k, first, false); err != nil {
		t.Fatal(err)
	}
	second, err := p.get(k)
	if err != nil || second != first {
		t.Fatalf("another host: %v", err)
	}
	now, err := readTree(second.dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second.built, now, cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("files (-built +now):\n%s", diff)
	}
	if again, err := second.State(); err != nil || !cmp.Equal(state, again) {
		t.Errorf("the state is %+v, %v", again, err)
	}
	if journal, err := second.Events(); err != nil || len(journal) > 0 {
		t.Errorf("its journal has %v, %v", journal, err)
	}
}

func TestHostsThatAreNotReused(t *testing.T) {
	p, k := newHostPool(t.TempDir()), kind{P310, Options{Binary: Binary(t)}}
	get := func(k kind) *reusable {
		t.Helper()
		h, err := p.get(k)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	one, two := get(k), get(k)
	if one.dir == two.dir {
		t.Fatal("two tests have the same host at the same time")
	}
	other := k
	other.options.Bare = true
	if err := p.put(k, one, false); err != nil || get(other) == one {
		t.Errorf("a host stands in for one of another kind, %v", err)
	}
	if err := p.put(k, two, true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(two.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the host of a test that failed is kept: %v", err)
	}
	if entries, err := filepath.Glob(filepath.Join(p.dir, "*")); err != nil || len(entries) != 2 {
		t.Errorf("there are %v, %v", entries, err)
	}
}
