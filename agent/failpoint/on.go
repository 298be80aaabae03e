//go:build faults

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	name, nth = armed()
	passed    atomic.Int64
)

func armed() (string, int64) {
	name, count, counted := strings.Cut(os.Getenv("DEVSERVER_AGENT_FAILPOINT"), ":")
	if !counted {
		return name, 1
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		panic("DEVSERVER_AGENT_FAILPOINT: " + err.Error())
	}
	return name, n
}

// Hit kills the process if it is at the place that was armed.
func Hit(at string) {
	if at != name || passed.Add(1) != nth {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {} // the signal ends us
}
