package pid1

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killAll ends every descendant: with SIGTERM and grace to obey it if there is any,
// then with SIGKILL until none is left, whatever they start meanwhile.
func (m *machine) killAll(grace time.Duration) {
	if grace > 0 {
		deadline := time.Now().Add(grace)
		for _, pid := range descendants() {
			_ = unix.Kill(pid, unix.SIGTERM)
		}
		for len(descendants()) > 0 && time.Now().Before(deadline) {
			m.await()
		}
	}
	for {
		left := descendants()
		if len(left) == 0 {
			return
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		m.await()
	}
}

// await reaps, now and when the next child ends or a moment has passed: a grandchild
// becomes a child only when its parent is gone.
func (m *machine) await() {
	select {
	case <-m.ended:
	case <-time.After(2 * time.Millisecond):
	}
	m.reap()
}

// descendants lists the processes below this one, zombies too.
func descendants() []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		// pid (comm) state ppid: comm may hold blanks and parentheses.
		fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
		if len(fields) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		children[parent] = append(children[parent], pid)
	}
	all := children[os.Getpid()]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}
