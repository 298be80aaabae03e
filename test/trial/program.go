package trial

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Arg is the first argument by which a program knows that it is to be the
// trial's.
const Arg = "trial-program"

// Program is the program behind a step: args are what follows Arg, namely the
// file of starts, the step's name and its kind:
//
//	ok            ends at once
//	slow:MS       ends after MS milliseconds
//	chatty:BYTES  writes that many bytes, each line numbered
//	fail:CODE     ends with that exit code
//	deaf:MS       like slow, and ignores SIGTERM
//	stubborn:MS   like slow; the executor says it must not be killed
//	greedy:BYTES  takes so much memory, and then ends
//	gate:PATH     ends when there is a file of that name, or after a minute
//	deaf-gate:PATH  like gate, and ignores SIGTERM
//
// It returns the exit code.
func Program(args []string) int {
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "trial program: wants STARTS NAME KIND")
		return 2
	}
	kind, number, _ := strings.Cut(args[2], ":")
	if strings.HasPrefix(kind, "deaf") {
		signal.Ignore(syscall.SIGTERM) // before anybody can see that it runs
	}
	if err := noteStart(args[0], args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "trial program:", err)
		return 2
	}
	if strings.HasSuffix(kind, "gate") {
		return waitFor(number)
	}
	n, err := strconv.Atoi(number)
	if err != nil && number != "" {
		fmt.Fprintln(os.Stderr, "trial program:", err)
		return 2
	}
	switch kind {
	case "slow", "stubborn", "deaf":
		time.Sleep(time.Duration(n) * time.Millisecond)
	case "chatty":
		return chat(n)
	case "greedy":
		return hoard(n)
	case "fail":
		return n
	}
	return 0
}

// noteStart writes its line in one piece and for good: the tests kill at any
// moment.
func noteStart(path, name string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(file, "%s %d\n", name, os.Getpid()); err != nil {
		return err
	}
	return file.Sync()
}

func waitFor(path string) int {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return 0
		}
	}
	return 3
}

// hoard writes to all of its memory, so that the kernel has to give it.
func hoard(bytes int) int {
	for hoarded := make([]byte, bytes); bytes > 0; bytes -= 4096 {
		hoarded[bytes-1] = 1
	}
	return 0
}

func chat(bytes int) int {
	w := bufio.NewWriterSize(os.Stdout, 64<<10)
	for written, line := 0, 0; written < bytes; line++ {
		n, err := fmt.Fprintf(w, "line %d of what a chatty program has to say\n", line)
		if err != nil {
			return 1
		}
		written += n
	}
	if w.Flush() != nil {
		return 1
	}
	return 0
}

// Starts reads a file of starts: how often each step's program ran.
func Starts(path string) (map[string]int, error) {
	noted, err := readStarts(path)
	starts := map[string]int{}
	for _, start := range noted {
		starts[start.step]++
	}
	return starts, err
}

// Noted reports whether the program with that process id has noted its start:
// before that it runs, and a count of the starts does not know it.
func Noted(path string, pid int) (bool, error) {
	noted, err := readStarts(path)
	return slices.ContainsFunc(noted, func(s start) bool { return s.pid == strconv.Itoa(pid) }), err
}

// start is a line of a file of starts.
type start struct{ step, pid string }

func readStarts(path string) (starts []start, err error) {
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	for line := range strings.Lines(string(raw)) {
		step, pid, _ := strings.Cut(strings.TrimSpace(line), " ")
		starts = append(starts, start{step, pid})
	}
	return starts, err
}
