package fakehost

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var build = sync.OnceValues(func() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	// One folder a checkout and kind of test, so that runs replace what earlier ones left.
	dir := filepath.Join(cache, "devserver-agent", fmt.Sprintf("fakehost-%x", sha256.Sum256([]byte(wd)))[:24])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	temp := filepath.Join(dir, fmt.Sprintf("fakehost.%d", os.Getpid()))
	out, err := exec.Command("go", "build", "-o", temp, "devserver-agent/test/fakehost/cmd/fakehost").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build cmd/fakehost: %w\n%s", err, out)
	}
	path := filepath.Join(dir, "fakehost")
	return path, os.Rename(temp, path)
})

// Binary builds the fakehost command, once in a test process, and returns its path for
// Options.Binary. It works in every package of this module; a failed build fails the test.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// ForTest builds a host in a folder of the test, with the command that Binary builds.
func ForTest(t testing.TB, m Model, o Options) *Host {
	t.Helper()
	o.Binary = Binary(t)
	h, err := New(filepath.Join(t.TempDir(), "host"), m, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
