package power

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clearTime is how long somebody may stand against a restart.
const clearTime = 30 * time.Minute

// Clear waits until nothing on the host stands against a restart: a package manager
// at work, and whoever asked logind to block it, such as a step that must not be
// cut. tell is called with what it is, whenever that changes. After half an hour it
// is an error.
func (r Restarter) Clear(ctx context.Context, tell func(obstacle string)) error {
	limit := time.NewTimer(clearTime)
	defer limit.Stop()
	tick := time.NewTicker(cmp.Or(r.Look, 2*time.Second))
	defer tick.Stop()
	told := ""
	for {
		obstacle := r.obstacle(ctx)
		if obstacle == "" {
			return nil
		}
		if obstacle != told {
			tell(obstacle)
			told = obstacle
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return fmt.Errorf("for %s it has been in the way that %s", clearTime, obstacle)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// obstacle is what stands against a restart, "" if nothing does.
func (r Restarter) obstacle(ctx context.Context) string {
	if name := r.packageManager(); name != "" {
		return name + " changes packages"
	}
	if !r.logind() {
		return ""
	}
	var blocking []inhibitor
	_ = withLogind(ctx, func(l logind) (err error) { // who cannot be asked is not waited for
		blocking, err = l.blockers(ctx)
		return err
	})
	if len(blocking) == 0 {
		return ""
	}
	i := blocking[0]
	return fmt.Sprintf("%s (process %d) blocks it: %s", i.Who, i.PID, i.Why)
}

func (i inhibitor) blocksShutdown() bool {
	return strings.HasPrefix(i.Mode, "block") && slices.Contains(strings.Split(i.What, ":"), "shutdown")
}

// packageLocks are the files that dpkg and apt, and rpm with all that is built on
// it, lock for writing (fcntl(2)) while they change what is installed.
var packageLocks = []string{
	"var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock",
	"var/lib/rpm/.rpm.lock", "usr/lib/sysimage/rpm/.rpm.lock",
}

// packageManager is who changes packages now, "" for nobody.
func (r Restarter) packageManager() string {
	for _, path := range packageLocks {
		pid, err := writer(filepath.Join("/", r.Tools.Root, path))
		if err != nil || pid == 0 {
			continue // mostly it does not exist; one that nobody may look at is no reason to wait
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			return fmt.Sprintf("process %d", pid)
		}
		return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// writer is the process that has a file locked for writing, 0 for none.
func writer(path string) (pid int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, err
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
}
