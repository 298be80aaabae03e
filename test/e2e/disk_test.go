package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"devserver-agent/test/support/wait"
)

// disk is a small file system of its own. Who is not root gets it in a namespace
// of its own and sees it through the process that holds it.
type disk struct {
	t       testing.TB
	dir     string // where it is mounted
	path    string // where this process and its children see it
	command []string
	bytes   int
}

// newDisk makes a disk of some bytes, which are no more than what is on it.
func newDisk(t testing.TB, bytes int) *disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // it is empty by then
	d := &disk{t: t, dir: dir, path: dir, bytes: bytes}
	options := fmt.Sprintf("size=%d", bytes)
	if syscall.Mount("none", dir, "tmpfs", 0, options) == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		return d
	}
	holder := exec.Command("unshare", "--user", "--map-root-user", "--mount",
		"sh", "-c", fmt.Sprintf("mount -t tmpfs -o %s none %s && exec sleep 3600", options, dir))
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	pid := strconv.Itoa(holder.Process.Pid)
	d.path = filepath.Join("/proc", pid, "root", dir)
	d.command = []string{"nsenter", "--target", pid, "--user", "--mount", "--preserve-credentials"}
	wait.Until(t, "the disk is there", func() error {
		mounts, err := os.ReadFile(filepath.Join("/proc", pid, "mounts"))
		if err == nil && !strings.Contains(string(mounts), dir) {
			err = fmt.Errorf("it is not in %s", mounts)
		}
		return err
	})
	return d
}

// remount changes the disk's options: ro, rw or its size.
func (d *disk) remount(option string) {
	d.t.Helper()
	if err := d.tryRemount(option); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) tryRemount(option string) error {
	argv := append(d.command, "mount", "-o", "remount,"+option, d.dir)
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w\n%s", argv, err, out)
	}
	return nil
}

// choke leaves no room, at once however large the disk is, and returns what gives
// it back. Who writes meanwhile makes it try again: a file system cannot be made
// smaller than what is on it.
func (d *disk) choke() (relieve func()) {
	d.t.Helper()
	wait.Until(d.t, "the disk is full", func() error {
		var now syscall.Statfs_t
		if err := syscall.Statfs(d.path, &now); err != nil {
			return err
		}
		return d.tryRemount(fmt.Sprintf("size=%d", max(1, now.Blocks-now.Bfree)*uint64(now.Bsize)))
	})
	return func() { d.remount(fmt.Sprintf("size=%d", d.bytes)) }
}

// fill leaves no room and returns the file to remove.
func (d *disk) fill() string {
	d.t.Helper()
	file, err := os.CreateTemp(d.path, "filler")
	if err != nil {
		d.t.Fatal(err)
	}
	defer file.Close()
	for size := 64 << 10; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return file.Name()
}
