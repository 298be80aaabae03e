// Package container runs a real systemd as PID 1 of a container, for tests of what
// a service, a restart of a host and a pulled plug do. It needs root and the
// Debian packages systemd-container and mmdebstrap; the machine itself need not run
// systemd.
//
// A container has the machine's network. Its files are a layer over a Debian that
// all share, and are gone with the test. A restart of it is a new boot with a new
// boot id on the same files; the kernel stays, so nothing that was written is lost.
// Limits of units hold where the machine has control groups of version 1
// (https://systemd.io/CONTAINER_INTERFACE).
package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a container may take to boot or to go down.
const patience = time.Minute

// Container is one that runs. Its methods may be called concurrently.
type Container struct {
	t    testing.TB
	name string
	dir  string
	done chan struct{} // closed when it is given up

	mu     sync.Mutex
	boots  int
	runner *exec.Cmd // of this boot
	down   bool      // no further boot is wanted
	cut    bool      // its init was killed to have it boot again
}

// Start boots a container of an image and ends it with the test. prepare, if not nil, is
// called with the folder of its files before the first boot.
func Start(t testing.TB, image Image, prepare func(root string)) *Container {
	t.Helper()
	lower, err := image.folder()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "container-")
	if err != nil {
		t.Fatal(err)
	}
	c := &Container{t: t, name: filepath.Base(dir), dir: dir, done: make(chan struct{})}
	t.Cleanup(c.remove)
	for _, sub := range []string{"upper", "work", "root"} {
		c.must(os.Mkdir(filepath.Join(dir, sub), 0o755))
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir)
	if err := syscall.Mount("overlay", c.Path("/"), "overlay", 0, layers); err != nil {
		t.Fatalf("mount the files of a container (needs root): %v", err)
	}
	if prepare != nil {
		prepare(c.Path("/"))
	}
	go c.run()
	c.AwaitBoot(1)
	return c
}

func (c *Container) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// Path is where the machine sees a file of the container.
func (c *Container) Path(name string) string { return filepath.Join(c.dir, "root", name) }

// Boots is how often it was booted.
func (c *Container) Boots() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boots
}

// restarted is systemd-nspawn's exit code when the container asks for a restart.
const restarted = 133

// run boots it again and again until it goes down for good.
func (c *Container) run() {
	defer close(c.done)
	for {
		cmd, err := c.boot()
		if err != nil {
			c.t.Errorf("boot %s: %v", c.name, err)
			return
		}
		err = cmd.Wait()
		c.mu.Lock()
		down, cut := c.down, c.cut
		c.cut = false
		c.mu.Unlock()
		if down {
			return
		}
		var exit *exec.ExitError
		if !cut && (!errors.As(err, &exit) || exit.ExitCode() != restarted) {
			said, _ := os.ReadFile(filepath.Join(c.dir, "console.log")) // it says why, or nothing does
			c.t.Errorf("%s ended in boot %d: %v\n%s", c.name, c.Boots(), err, said[max(0, len(said)-4000):])
			return
		}
	}
}

// script joins the control groups that are the container's own, whose names it is
// given, and boots; the container's init makes them writable before it is systemd.
const script = `for d in %s; do echo $$ >"$d/cgroup.procs" || exit 1; done
exec systemd-nspawn --quiet --register=no --keep-unit --machine=%s --directory=%s --console=pipe \
  --kill-signal=SIGRTMIN+3 --timezone=off --resolv-conf=off --link-journal=no \
  /bin/sh -c 'for c in /sys/fs/cgroup/*; do mount -o remount,rw,bind $c 2>/dev/null; done; exec /lib/systemd/systemd'`

func (c *Container) boot() (*exec.Cmd, error) {
	groups, err := c.groups()
	if err != nil {
		return nil, err
	}
	console, err := os.OpenFile(filepath.Join(c.dir, "console.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	cmd := exec.Command("sh", "-c", fmt.Sprintf(script, strings.Join(groups, " "), c.name, c.Path("/")))
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boots++
	c.runner = cmd
	return cmd, nil
}

// leader is the container's PID 1 as the machine sees it; 0 if there is none.
func (c *Container) leader() int {
	pid, _ := c.leaderOfBoot()
	return pid
}

// Up reports whether it has a PID 1 just now: it has none between two boots.
func (c *Container) Up() bool { return c.leader() != 0 }

// leaderOfBoot is the leader with the number of its boot.
func (c *Container) leaderOfBoot() (pid, boot int) {
	c.mu.Lock()
	runner, boot := c.runner, c.boots
	c.mu.Unlock()
	if runner == nil {
		return 0, boot
	}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", runner.Process.Pid)) // it may have ended
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil && isInit(pid) {
			return pid, boot
		}
	}
	return 0, boot
}

// isInit reports whether a process is PID 1 of a namespace of its own. While it boots,
// systemd-nspawn has another child first, which starts that one and ends.
func isInit(pid int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may have ended
	for line := range strings.Lines(string(status)) {
		if ids, is := strings.CutPrefix(line, "NSpid:"); is { // as each namespace has it, the innermost last
			in := strings.Fields(ids)
			return len(in) > 1 && in[len(in)-1] == "1"
		}
	}
	return false
}

// Command is a program in the container. Its environment is a root shell's.
func (c *Container) Command(argv ...string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(c.leader()), "--all", "env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8"}
	return exec.Command("nsenter", append(enter, argv...)...)
}

// Run runs a program in the container and returns all it printed.
func (c *Container) Run(argv ...string) (string, error) {
	out, err := c.Command(argv...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s", argv, err, out)
	}
	return string(bytes.TrimSpace(out)), err
}

// MustRun is Run for what has to succeed.
func (c *Container) MustRun(argv ...string) string {
	c.t.Helper()
	out, err := c.Run(argv...)
	c.must(err)
	return out
}

// AwaitBoot waits until the nth boot is up.
func (c *Container) AwaitBoot(n int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	state := ""
	for {
		if c.Boots() >= n && c.leader() != 0 {
			// It says why it is not: "starting", "degraded".
			state, _ = c.Run("systemctl", "is-system-running")
			if state == "running" || state == "degraded" {
				return
			}
		}
		select {
		case <-tick.C:
		case <-c.done:
			c.t.Fatalf("%s is gone", c.name)
		case <-ctx.Done():
			c.t.Fatalf("boot %d of %s is not up: %s", n, c.name, state)
		}
	}
}

// PowerCut kills everything in the container, which boots again. One that is between two
// boots just now loses its power in the next.
func (c *Container) PowerCut() {
	c.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		// To kill 0 would be to kill this process and its group (kill(2)).
		if pid, boot := c.leaderOfBoot(); pid != 0 {
			c.mu.Lock()
			c.cut = true
			c.mu.Unlock()
			if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
				c.must(err)
				c.AwaitBoot(boot + 1)
				return
			}
		}
		select {
		case <-tick.C:
		case <-c.done:
			c.t.Fatalf("%s is gone", c.name)
		case <-deadline:
			c.t.Fatalf("%s does not boot", c.name)
		}
	}
}

// Log is the journal of this and all former boots.
func (c *Container) Log() string {
	out, err := c.Run("journalctl", "--no-pager", "--output=short-monotonic", "--merge")
	if err != nil {
		return err.Error()
	}
	return out
}

func (c *Container) remove() {
	if c.t.Failed() && c.leader() != 0 {
		log := c.Log()
		c.t.Logf("journal of %s (the end of %d bytes):\n%s", c.name, len(log), log[max(0, len(log)-20000):])
	}
	c.mu.Lock()
	c.down = true
	running := c.runner != nil
	c.mu.Unlock()
	if running {
		c.kill()
	}
	err := errors.Join(syscall.Unmount(c.Path("/"), syscall.MNT_DETACH), c.removeGroups(), os.RemoveAll(c.dir))
	if err != nil {
		c.t.Error(err)
	}
}

// kill has everything in the container end, also if it is about to boot just now.
func (c *Container) kill() {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if pid := c.leader(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may go down by itself
		}
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
	}
}
