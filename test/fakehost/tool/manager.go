package tool

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"devserver-agent/test/fakehost"
)

// rpm plays rpm --upgrade of one of the driver packages: the script before the
// installation checks the host, the one after it is the installer. rpm does not
// call it a failure when the second fails.
func rpm(c *call, args []string) int {
	if _, locked := c.state.Fault(fakehost.PackagesLocked); locked {
		c.printf("error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)\n")
		return 1
	}
	known := []string{"--upgrade", "--replacepkgs", "--oldpackage"}
	if len(args) != 4 || !slices.Equal(args[:3], known) {
		c.printf("rpm: %s: unknown option\n", strings.Join(args, " "))
		return 1
	}
	archive, err := fakehost.OpenRPM(args[3])
	if err != nil {
		c.printf("error: %s: not an rpm package (or package manifest)\n", args[3])
		return 1
	}
	name := strings.TrimSuffix(filepath.Base(args[3]), ".rpm")
	c.printf("Verifying...                          ########################################\nPreparing...                          ########################################\n")
	switch before, status := c.state.Installed, c.script(name, archive); {
	case status != 1:
		c.printf("Updating / installing...\n%s ########################################\n", name)
	case c.installed() == before:
		c.printf("error: %%prein(%s) scriptlet failed, exit status 1\nerror: %s: install failed\n", name, name)
		return 1
	default:
		c.printf("warning: %%post(%s) scriptlet failed, exit status 1\n", name)
	}
	return 0
}

// dpkg plays dpkg --install of one of the driver packages.
func dpkg(c *call, args []string) int {
	if _, locked := c.state.Fault(fakehost.PackagesLocked); locked {
		c.printf("dpkg: error: dpkg frontend lock was locked by another process with pid 4711\n")
		return 2
	}
	if len(args) != 2 || args[0] != "--install" {
		c.printf("dpkg: error: unknown option %s\n", strings.Join(args, " "))
		return 2
	}
	name, archive, err := fakehost.OpenDeb(args[1])
	if err != nil {
		c.printf("dpkg-deb: error: '%s' is not a Debian format archive\n", args[1])
		return 1
	}
	c.printf("Preparing to unpack %s ...\nUnpacking %[2]s ...\nSetting up %[2]s ...\n", filepath.Base(args[1]), name)
	if c.script(filepath.Base(args[1]), archive) == 1 {
		c.printf("dpkg: error processing package %[1]s (--install):\n installed %[1]s package post-installation script subprocess returned error exit status 1\n", name)
		return 1
	}
	return 0
}

// script runs the installer that a package brings, as its scripts do, and
// returns its exit status.
func (c *call) script(name string, archive []byte) int {
	file := filepath.Join(c.host.Dir(), "run", "package.run")
	if err := os.WriteFile(file, archive, 0o700); err != nil {
		c.printf("%v\n", err)
		return 1
	}
	defer os.Remove(file)
	mode, installed := "--upgrade", c.state.Installed.Firmware
	if strings.Contains(name, "-driver") {
		installed = c.state.Installed.Driver
	}
	if installed == "" {
		mode = "--full"
	}
	cmd := exec.Command("/bin/sh", file, mode, "--quiet")
	cmd.Env = append(os.Environ(), "PATH="+c.host.SearchPath())
	cmd.Stdout, cmd.Stderr = atOnce{c.out}, atOnce{c.out}
	_ = cmd.Run() // its exit status says how it ended
	return cmd.ProcessState.ExitCode()
}

// atOnce passes on what is written as it comes.
type atOnce struct{ *bufio.Writer }

func (w atOnce) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	return n, errors.Join(err, w.Flush())
}

// installed is what is installed by now.
func (c *call) installed() fakehost.Release {
	s, err := c.host.State()
	if err != nil {
		return fakehost.Release{}
	}
	return s.Installed
}
