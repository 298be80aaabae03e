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

// Image is the Debian packages in a container beside what Debian calls essential.
type Image string

// Images.
const (
	Debian  Image = "systemd systemd-sysv dbus libpam-systemd procps ca-certificates"
	WithDNF       = Debian + " rpm dnf createrepo-c"
)

const release = "bookworm"

var images struct {
	sync.Mutex
	made map[Image]string
}

// folder is where the files of an image are, made once per machine and kept in the
// user's cache: it takes a minute.
func (i Image) folder() (string, error) {
	images.Lock()
	defer images.Unlock()
	if made, ok := images.made[i]; ok {
		return made, nil
	}
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
	made := filepath.Join(cache, release+"-"+strings.ReplaceAll(string(i), " ", "-"))
	if _, err := os.Stat(made); err != nil {
		if err := i.make(made); err != nil {
			return "", err
		}
	}
	if images.made == nil {
		images.made = map[Image]string{}
	}
	images.made[i] = made
	return made, nil
}

func (i Image) make(to string) error {
	temp := to + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	cmd := exec.Command("mmdebstrap", "--quiet", "--variant=apt", "--include="+strings.ReplaceAll(string(i), " ", ","),
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
