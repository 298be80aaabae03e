package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// packages is what a container has beside what Debian calls essential.
var packages = []string{"systemd", "systemd-sysv", "dbus", "libpam-systemd", "procps", "ca-certificates"}

const release = "bookworm"

// image is the folder of a Debian with systemd, made once per machine and kept in
// the user's cache: it takes a minute.
var image = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "devserver-agent-tests")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	made := filepath.Join(cache, release+"-"+strings.Join(packages, "-"))
	if _, err := os.Stat(made); err == nil {
		return made, nil
	}
	return made, debootstrap(made)
})

func debootstrap(to string) error {
	temp := to + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	cmd := exec.Command("mmdebstrap", "--quiet", "--variant=apt", "--include="+strings.Join(packages, ","),
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", release, temp)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("mmdebstrap is not installed: apt-get install mmdebstrap systemd-container")
	}
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, out)
	}
	return os.Rename(temp, to)
}
