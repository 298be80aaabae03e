package power_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/agent/power"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
)

const lockEnv = "POWER_TEST_LOCK"

// TestMain is a package manager too: one that locks a file and is at work until
// its standard input ends.
func TestMain(m *testing.M) {
	path := os.Getenv(lockEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err == nil {
		err = unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}
	fmt.Fprintln(os.Stdout, "locked", err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	_ = file.Close()
}

// packageManager changes packages of the host below root until end is called.
func packageManager(t *testing.T, root, lock string) (pid int, end func()) {
	t.Helper()
	path := filepath.Join(root, lock)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), lockEnv+"="+path, "GORACE=atexit_sleep_ms=0") // or it takes a second to end
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if said, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || said != "locked <nil>\n" {
		t.Fatalf("%q, %v", said, err)
	}
	return cmd.Process.Pid, func() {
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	}
}

func TestARestartWaitsForAPackageManager(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock", "var/lib/rpm/.rpm.lock", "usr/lib/sysimage/rpm/.rpm.lock"} {
		t.Run(lock, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			pid, end := packageManager(t, root, lock)
			r := power.Restarter{Command: []string{"/bin/true"}, Look: 10 * time.Millisecond, Tools: step.Tools{Root: root}}
			told := make(chan string, 8)
			clear := make(chan error, 1)
			go func() { clear <- r.Clear(t.Context(), func(obstacle string) { told <- obstacle }) }()
			if got := <-told; !strings.Contains(got, fmt.Sprintf("(process %d) changes packages", pid)) {
				t.Errorf("it waits for %q", got)
			}
			end()
			if err := <-clear; err != nil || len(told) > 0 {
				t.Errorf("error %v, and told %d times more", err, len(told))
			}
			// A lock that nobody holds is in nobody's way.
			if err := r.Clear(t.Context(), func(obstacle string) { t.Errorf("it waits for %s", obstacle) }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestACancelEndsTheWaitForAPackageManager(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	_, end := packageManager(t, root, "var/lib/dpkg/lock")
	defer end()
	ctx, cancel := context.WithCancelCause(t.Context())
	r := power.Restarter{Command: []string{"/bin/true"}, Look: time.Hour, Tools: step.Tools{Root: root}}
	if err := r.Clear(ctx, func(string) { cancel(executors.ErrCancelled) }); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("error is %v", err)
	}
}

func TestHowAHostIsRestartedUnlessItIsConfigured(t *testing.T) {
	if got := power.Command(nil, "/srv/trial"); len(got) > 0 {
		t.Errorf("a trial below a folder restarts the machine it runs on: %q", got)
	}
	if got := power.Command([]string{"/sbin/reboot", "-f"}, "/srv/trial"); strings.Join(got, " ") != "/sbin/reboot -f" {
		t.Errorf("the operator's command became %q", got)
	}
}
