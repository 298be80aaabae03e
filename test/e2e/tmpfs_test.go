package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// tmpfs is a small disk of its own, at a path that this process and its children
// can use. Who is not root gets it in a namespace of its own, seen through the
// process that holds it.
func tmpfs(t testing.TB, bytes int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // it is empty by then
	options := fmt.Sprintf("size=%d", bytes)
	if err := syscall.Mount("none", dir, "tmpfs", 0, options); err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		return dir
	}
	holder := exec.Command("unshare", "--user", "--map-root-user", "--mount",
		"sh", "-c", fmt.Sprintf("mount -t tmpfs -o %s none %s && touch %s/ready && exec sleep 3600", options, dir, dir))
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	path := filepath.Join(fmt.Sprintf("/proc/%d/root", holder.Process.Pid), dir)
	until(t, "the disk is there", func() error {
		_, err := os.Stat(filepath.Join(path, "ready"))
		return err
	})
	return path
}

// fill leaves no room on a disk and returns the file to remove.
func fill(t testing.TB, dir string) string {
	t.Helper()
	file, err := os.CreateTemp(dir, "filler")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 64 << 10; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return file.Name()
}
