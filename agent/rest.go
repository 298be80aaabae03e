package agent

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// rest gives back what work needed: the heap's free pages, and the pages of the
// program that only its start or its work touched. Those are clean and come back
// from the page cache when they are needed.
func rest() {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps") // proc_pid_maps(5)
	self, selfErr := os.Readlink("/proc/self/exe")
	if err != nil || selfErr != nil {
		return // it costs memory, nothing else
	}
	for line := range strings.Lines(string(maps)) {
		var begin, end uintptr
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &begin, &end, &mode); err != nil {
			continue
		}
		// What may be written may have been: it is not in the file.
		if strings.Contains(mode, "w") || !strings.HasSuffix(strings.TrimSpace(line), self) {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_DONTNEED)
	}
}
