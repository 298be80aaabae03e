package step

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// process is what proc_pid_stat(5) says of one.
type process struct {
	pid, parent, session int
	ticks                uint64 // start time
	zombie               bool
}

func inspect(pid int) (process, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	return parseStat(raw)
}

// parseStat reads /proc/PID/stat. The name in parentheses may hold anything, so
// fields are counted from the last parenthesis.
func parseStat(raw []byte) (process, error) {
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if open < 1 || end < open {
		return process{}, errors.New("stat has no name")
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(raw[:open])))
	fields := bytes.Fields(raw[end+1:])
	if err != nil || len(fields) < 20 {
		return process{}, fmt.Errorf("stat has %d fields after its name", len(fields))
	}
	p := process{pid: pid, zombie: fields[0][0] == 'Z' || fields[0][0] == 'X'}
	var errs [3]error
	p.parent, errs[0] = strconv.Atoi(string(fields[1]))
	p.session, errs[1] = strconv.Atoi(string(fields[3]))
	p.ticks, errs[2] = strconv.ParseUint(string(fields[19]), 10, 64)
	return p, errors.Join(errs[:]...)
}

// members are the living processes of a started attempt, without its shim: all
// that descends from the shim, and all in its session.
func members(started Started) []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	all := map[int]process{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if p, err := inspect(pid); err == nil && !p.zombie {
			all[pid] = p
		}
	}
	if leader, ok := all[started.PID]; ok && leader.ticks != started.Ticks {
		return nil // the number belongs to somebody else by now
	}
	var found []process
	for _, p := range all {
		if p.pid != started.PID && (p.session == started.PID || descends(all, p, started.PID)) {
			found = append(found, p)
		}
	}
	return found
}

func descends(all map[int]process, p process, from int) bool {
	// A chain longer than the table would be a loop made of reused numbers.
	for range len(all) {
		if p.parent == from {
			return true
		}
		next, ok := all[p.parent]
		if !ok {
			return false
		}
		p = next
	}
	return false
}

// Signal sends a signal to everything of the attempt but its shim, which has to
// write down the end, and reports how many it reached.
func (a Attempt) Signal(sig unix.Signal) (int, error) {
	started, err := ReadStarted(a.Dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && started.Boot != a.Boot {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var reached int
	for _, p := range members(started) {
		switch err := send(p, sig); {
		case err == nil:
			reached++
		case !errors.Is(err, unix.ESRCH):
			return reached, fmt.Errorf("signal process %d of step: %w", p.pid, err)
		}
	}
	return reached, nil
}

// send signals the very process that was inspected, not one that took over its
// number since.
func send(p process, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, err := inspect(p.pid); err != nil || now.ticks != p.ticks {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// KillAll kills until nothing of the attempt is left to be seen, for a fork may
// escape one round. It gives up after a while: what hangs in the kernel cannot
// be killed.
func (a Attempt) KillAll() error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 250 {
		reached, err := a.Signal(unix.SIGKILL)
		if err != nil || reached == 0 {
			return err
		}
		<-tick.C
	}
	return nil
}
