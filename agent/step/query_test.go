package step

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/test/support/wait"
)

func ask(t *testing.T, timeout time.Duration, script string) (executors.Reply, error, time.Duration) { //nolint:staticcheck // ST1008: how a query ended belongs to its reply
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, executors.ErrTimeout)
	defer cancel()
	begin := time.Now()
	reply, err := Query(ctx, "/bin/sh", []string{"sh", "-c", script}, []string{"PATH=" + os.Getenv("PATH"), "D=" + t.Name(), "MARK=" + os.Getenv("MARK")})
	return reply, err, time.Since(begin)
}

func TestAQueryAnswersWithAllThatWasPrinted(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         executors.Reply
	}{
		{"both streams in order", "echo out; echo err >&2; echo out", executors.Reply{Output: []byte("out\nerr\nout\n")}},
		{"an exit code is no error", "echo why >&2; exit 9", executors.Reply{Output: []byte("why\n"), Code: 9}},
		{"a signal", "kill -SEGV $$", executors.Reply{Code: 139}},
		{"nothing", "exit 0", executors.Reply{}},
		{"as much as is allowed", "head -c 1048576 /dev/zero | tr '\\0' x", executors.Reply{Output: []byte(strings.Repeat("x", executors.QueryLimit))}},
		{"no input", "cat; echo end", executors.Reply{Output: []byte("end\n")}},
		{"only its own environment", "echo $D $HOME", executors.Reply{Output: []byte("TestAQueryAnswersWithAllThatWasPrinted/only_its_own_environment\n")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("HOME", "/of-the-agent")
			got, err, _ := ask(t, 30*time.Second, c.script)
			if err != nil || string(got.Output) != string(c.want.Output) || got.Code != c.want.Code {
				t.Errorf("got %d bytes %.100q, code %d, %v; want %.100q, code %d", len(got.Output), got.Output, got.Code, err, c.want.Output, c.want.Code)
			}
		})
	}
}

func TestAToolThatIsNotThereIsNotFound(t *testing.T) {
	_, err := Query(context.Background(), filepath.Join(t.TempDir(), "npu-smi"), []string{"npu-smi"}, nil)
	if !errors.Is(err, executors.ErrNotFound) || !strings.Contains(err.Error(), "npu-smi") {
		t.Errorf("got %v", err)
	}
	if _, err := Query(context.Background(), t.TempDir(), []string{"npu-smi"}, nil); err == nil || errors.Is(err, executors.ErrNotFound) {
		t.Errorf("a folder gave %v", err)
	}
}

func TestAQueryThatHangsEndsAtItsDeadline(t *testing.T) {
	for name, script := range map[string]string{
		"waits":                "echo begun; read x < /dev/zero; while :; do wait; done",
		"ignores all it can":   "trap '' TERM INT HUP; echo begun; sleep 1000",
		"is stopped":           "echo begun; kill -STOP $$",
		"its child hangs":      "echo begun; sleep 1000; echo never",
		"has closed its pipe":  "echo begun; exec > /dev/null 2>&1; sleep 1000",
		"its stranger is left": "echo begun; setsid sleep 5 & wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply, err, took := ask(t, 2*time.Second, script) // it says something before
			if !errors.Is(err, executors.ErrTimeout) {
				t.Errorf("got %v, want ErrTimeout", err)
			}
			if string(reply.Output) != "begun\n" {
				t.Errorf("what came before is %q", reply.Output)
			}
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestTheCauseOfAnEndedContextIsTold(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(executors.ErrStopping)
	mark := filepath.Join(t.TempDir(), "ran")
	if _, err := Query(ctx, "/bin/sh", []string{"sh", "-c", "echo > " + mark}, nil); !errors.Is(err, executors.ErrStopping) {
		t.Errorf("got %v, want ErrStopping", err)
	}
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Error("it was started although nobody waits for it")
	}
}

func TestAFloodIsCutOff(t *testing.T) {
	for name, script := range map[string]string{
		"without end":       "yes",
		"of 100 MB":         "head -c 100000000 /dev/zero | tr '\\0' y",
		"of a child":        "yes & wait",
		"and ignores TERM":  "trap '' TERM PIPE; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
		"one byte too much": "head -c 1048577 /dev/zero | tr '\\0' y",
	} {
		t.Run(name, func(t *testing.T) {
			reply, err, _ := ask(t, 30*time.Second, script)
			if !errors.Is(err, executors.ErrFlood) || len(reply.Output) != executors.QueryLimit || reply.Output[0] != 'y' {
				t.Errorf("got %d bytes, %v; want the first %d and ErrFlood", len(reply.Output), err, executors.QueryLimit)
			}
		})
	}
}

// What a tool leaves behind may hold its pipe for ever; the tool has answered.
func TestAChildThatHoldsThePipeDoesNotHoldUpTheAnswer(t *testing.T) {
	for name, script := range map[string]string{
		"in its group":  "sleep 1000 & echo answer; exit 3",
		"out of reach":  "setsid sleep 15 & echo answer; exit 3",
		"while writing": "(while sleep 0.01; do echo; done) & echo answer; exit 3",
	} {
		t.Run(name, func(t *testing.T) {
			reply, err, took := ask(t, 60*time.Second, script)
			if err != nil || reply.Code != 3 || !strings.HasPrefix(string(reply.Output), "answer\n") {
				t.Errorf("got %q, code %d, %v", reply.Output, reply.Code, err)
			}
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A program that cannot be killed keeps a goroutine until it ends, and nothing
// else: no pipe, and no zombie after that.
func TestAQueryThatCannotBeKilledReturnsAndIsCollectedLater(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		for ctx.Err() == nil {
			if raw, _ := os.ReadFile(pids); len(raw) > 0 {
				cancel(executors.ErrTimeout)
			}
			runtime.Gosched()
		}
	}()
	files, routines := openFiles(t), runtime.NumGoroutine()
	reply, err := Query(ctx, os.Args[0], []string{"tool", "escape", pids}, os.Environ())
	if !errors.Is(err, executors.ErrTimeout) || string(reply.Output) != "before it hangs\n" {
		t.Fatalf("got %q, %v", reply.Output, err)
	}
	tr := &trial{T: t, folder: filepath.Dir(pids)}
	pid := tr.pid("pid")
	if !alive(pid) {
		t.Fatal("it was killed, so this shows nothing")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "it is collected", func() bool {
		_, err := inspect(pid)
		return errors.Is(err, os.ErrNotExist)
	})
	wait.For(t, "files and goroutines are as before", func() bool {
		return openFiles(t) <= files && runtime.NumGoroutine() <= routines
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestQueriesLeaveNothingBehind(t *testing.T) {
	tr := &trial{T: t, folder: t.TempDir()}
	t.Setenv("MARK", tr.folder) // tells their processes
	files, routines := openFiles(t), runtime.NumGoroutine()
	for range 10 {
		_, _, _ = ask(t, 30*time.Second, "echo x; sleep 1000 & exit 1")
		_, _, _ = ask(t, 50*time.Millisecond, "sleep 1000")
		_, _, _ = ask(t, 30*time.Second, "yes")
	}
	wait.For(t, "files and goroutines are as before", func() bool {
		return openFiles(t) <= files && runtime.NumGoroutine() <= routines
	})
	wait.For(t, "their processes are gone", func() bool { return len(tr.carriers()) == 0 })
}
