// Package debian makes the files of small Debian systems for tests that need a
// whole one. What was made is kept in the user's cache, as it takes a minute. It
// needs root and the Debian package mmdebstrap.
package debian

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

const release = "bookworm"

var cache struct {
	sync.Mutex
	made map[string]string
}

// Cached is the path of what is kept under a name. If it is not there, build is
// called once on this machine, with the path to make it at.
func Cached(name string, build func(at string) error) (string, error) {
	cache.Lock()
	defer cache.Unlock()
	if made, ok := cache.made[name]; ok {
		return made, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "devserver-agent-tests")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	made := filepath.Join(dir, name)
	if _, err := os.Stat(made); err != nil {
		temp := made + ".new"
		if err := errors.Join(os.RemoveAll(temp), build(temp), os.Rename(temp, made)); err != nil {
			return "", err
		}
	}
	if cache.made == nil {
		cache.made = map[string]string{}
	}
	cache.made[name] = made
	return made, nil
}

// Root is a folder with the files of a Debian that has some packages beside what
// Debian calls essential. It is everybody's: put a layer over it to change it.
func Root(arch string, packages ...string) (string, error) {
	return Cached(strings.Join(append([]string{release, arch}, packages...), "-"), func(at string) error { return Make(at, arch, packages...) })
}

// Make makes such a folder that is the caller's own.
func Make(at, arch string, packages ...string) error {
	return Run("mmdebstrap", "--quiet", "--variant=apt", "--architectures="+arch, "--include="+strings.Join(packages, ","),
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", release, at)
}

// Run runs a program of this machine.
func Run(argv ...string) error {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return nil
}
