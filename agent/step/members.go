package step

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// process is what proc_pid_stat(5) says of one.
type process struct {
	pid, parent, group, session int
	ticks                       uint64 // start time
	zombie                      bool
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
	p := process{pid: pid}
	var errs [5]error
	var threads int
	p.parent, errs[0] = strconv.Atoi(string(fields[1]))
	p.group, errs[1] = strconv.Atoi(string(fields[2]))
	p.session, errs[2] = strconv.Atoi(string(fields[3]))
	threads, errs[3] = strconv.Atoi(string(fields[17]))
	p.ticks, errs[4] = strconv.ParseUint(string(fields[19]), 10, 64)
	// A process whose first thread has ended looks like a zombie and goes on.
	p.zombie = (fields[0][0] == 'Z' || fields[0][0] == 'X') && threads <= 1
	return p, errors.Join(errs[:]...)
}

// members are the living processes of a started attempt, without its shim: all
// in its session, and all that descends from there. A session's number is given
// to nobody else while it has members, so it can be told without its leader. Who
// left the session and lost the parents that were in it is out of sight once the
// shim, which would be the parent then, is dead too.
func members(started Started) []process {
	found := scan(started)
	if len(found) == 0 {
		// Who forks and ends all the time may be missed by one look.
		found = scan(started)
	}
	return found
}

func scan(started Started) []process {
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
		if p.pid != started.PID && belongs(all, p, started.PID) {
			found = append(found, p)
		}
	}
	return found
}

// belongs reports whether a process or one it descends from is in the shim's
// session or the shim's child.
func belongs(all map[int]process, p process, shim int) bool {
	// A chain longer than the table would be a loop made of reused numbers.
	for range len(all) {
		if p.session == shim || p.parent == shim {
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
	started, ok, err := a.toBeEnded()
	if !ok {
		return 0, err
	}
	return signalAll(members(started), sig)
}

// toBeEnded notes that the attempt is being ended; false if it did not start in
// this boot. The shim, which reads the note, must not go before all has ended; a
// disk that is too full for it costs no more than that.
func (a Attempt) toBeEnded() (Started, bool, error) {
	started, err := ReadStarted(a.Dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && started.Boot != a.Boot {
		return started, false, nil
	}
	if err != nil {
		return started, false, err
	}
	if file, err := os.Create(filepath.Join(a.Dir, endingFile)); err == nil {
		_ = file.Close()
	}
	return started, true, nil
}

func signalAll(found []process, sig unix.Signal) (reached int, err error) {
	for _, p := range found {
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
	if errors.Is(err, unix.ENOSYS) {
		return sendByNumber(p, sig) // Linux before 5.3
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, err := inspect(p.pid); err != nil || now.ticks != p.ticks {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

func sendByNumber(p process, sig unix.Signal) error {
	if now, err := inspect(p.pid); err != nil || now.ticks != p.ticks {
		return unix.ESRCH
	}
	return unix.Kill(p.pid, sig)
}

// KillAll kills until nothing of the attempt is left to be seen. It gives up
// after a while: what hangs in the kernel cannot be killed.
func (a Attempt) KillAll() error {
	started, ok, err := a.toBeEnded()
	if !ok {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 250 {
		found := members(started)
		if len(found) == 0 {
			return nil
		}
		killGroups(found, started.PID)
		if _, err := signalAll(found, unix.SIGKILL); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

// killGroups kills by process groups, which takes those along who fork at this
// moment. A group never reaches beyond its session.
func killGroups(found []process, shim int) {
	for _, p := range found {
		if p.group != shim && p.group > 1 {
			_ = unix.Kill(-p.group, unix.SIGKILL) // signalAll reports what cannot be
		}
	}
}
