package hosttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/test/hosttest"
)

func host(t *testing.T) *hosttest.Host {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n" + `eval "$1"` + "\n"
	if err := os.WriteFile(filepath.Join(root, "bin/do"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return hosttest.New(t, root)
}

func act(h *hosttest.Host, step, script string) (executors.Exit, error) {
	return h.Command(context.Background(), executors.Command{Step: step, Argv: []string{"do", script}})
}

func TestQueryKeepsItsBounds(t *testing.T) {
	h, ctx := host(t), context.Background()
	if reply, err := h.Query(ctx, "do", "echo out; echo err >&2; exit 3"); err != nil || reply.Code != 3 || string(reply.Output) != "out\nerr\n" {
		t.Errorf("got %q, %v", reply.Output, err)
	}
	if reply, err := h.Query(ctx, "do", "kill -KILL $$"); err != nil || reply.Code != 137 {
		t.Errorf("killed: %v, %v", reply, err)
	}
	if _, err := h.Query(ctx, "nothing"); !errors.Is(err, executors.ErrNotFound) {
		t.Errorf("no tool: %v", err)
	}
	if reply, err := h.Query(ctx, "do", "cat /dev/zero"); !errors.Is(err, executors.ErrFlood) || len(reply.Output) != executors.QueryLimit {
		t.Errorf("flood: %d bytes, %v", len(reply.Output), err)
	}
	h.QueryTimeout = 2 * time.Second // it says something before
	if reply, err := h.Query(ctx, "do", "echo begun; sleep 60 & wait"); !errors.Is(err, executors.ErrTimeout) || string(reply.Output) != "begun\n" {
		t.Errorf("hang: %q, %v", reply.Output, err)
	}
}

func TestACommandIsReplayedAndItsReplayChecked(t *testing.T) {
	h := host(t)
	for range 2 {
		if exit, err := act(h, "first", "echo 1; exit 4"); err != nil || exit.Code != 4 || exit.Attempt != 1 {
			t.Fatalf("got %+v, %v", exit, err)
		}
		h.Replay()
	}
	if h.Output() != "1\n" || h.Starts("first") != 1 {
		t.Errorf("output is %q", h.Output())
	}
	if _, err := act(h, "second", "echo 2"); !errors.Is(err, executors.ErrDiverged) {
		t.Errorf("a step was left out: %v", err)
	}
	h.Replay()
	if _, err := act(h, "first", "echo other"); !errors.Is(err, executors.ErrDiverged) {
		t.Errorf("other arguments: %v", err)
	}
	h.Replay()
	if _, err := act(h, "first", "echo 1; exit 4"); err != nil {
		t.Error(err)
	}
	if _, err := act(h, "first", "echo 1; exit 4"); !errors.Is(err, executors.ErrDiverged) {
		t.Errorf("the same step again: %v", err)
	}
}

func TestACutStepIsInterruptedOnEveryReplay(t *testing.T) {
	h := host(t)
	h.Cut("step")
	for range 2 {
		if _, err := act(h, "step", "echo ran"); !errors.Is(err, executors.ErrInterrupted) {
			t.Fatalf("first attempt: %v", err)
		}
		if exit, err := act(h, "step", "echo ran"); err != nil || exit.Attempt != 2 {
			t.Fatalf("second attempt: %+v, %v", exit, err)
		}
		h.Replay()
	}
	if h.Output() != "ran\nran\n" || h.Starts("step") != 2 {
		t.Errorf("output is %q after %d starts", h.Output(), h.Starts("step"))
	}
}

func TestAHangingCommandTimesOutWhenItIsSeenToHang(t *testing.T) {
	h := host(t)
	mark := filepath.Join(h.Root(), "hangs")
	h.Hang("step", func() bool { _, err := os.Stat(mark); return err == nil })
	cmd := executors.Command{Step: "step", Argv: []string{"do", "echo begun; touch hangs; sleep 60 & wait"}, Timeout: time.Hour}
	for range 2 {
		if _, err := h.Command(context.Background(), cmd); !errors.Is(err, executors.ErrTimeout) || h.Output() != "begun\n" {
			t.Errorf("%v after %q", err, h.Output())
		}
		h.Replay()
	}
}

// A program is given up when its executor says so, whatever its kill policy, and a replay
// gets the same answer without being asked.
func TestACommandIsGivenUp(t *testing.T) {
	h := host(t)
	asked, heard := 0, false
	cmd := executors.Command{
		Step: "step", Argv: []string{"do", "echo '[y/n]?'; sleep 60 & wait"}, Kill: executors.KillNever,
		Watch: func([]byte) { heard = true },
		GiveUp: func() bool {
			if heard {
				asked++
			}
			return heard
		},
	}
	for range 2 {
		if _, err := h.Command(context.Background(), cmd); !errors.Is(err, executors.ErrGivenUp) || h.Output() != "[y/n]?\n" || asked != 1 {
			t.Errorf("%v after %q, asked %d times", err, h.Output(), asked)
		}
		h.Replay()
	}
}

func TestOneToolHasATimeoutOfItsOwn(t *testing.T) {
	h := host(t)
	h.TimeoutOf = hosttest.Only("do", 50*time.Millisecond)
	if _, err := h.Query(context.Background(), "do", "sleep 60 & wait"); !errors.Is(err, executors.ErrTimeout) {
		t.Error(err)
	}
	h.TimeoutOf = hosttest.Only("undo", time.Nanosecond)
	if reply, err := h.Query(context.Background(), "do", "exit 3"); err != nil || reply.Code != 3 {
		t.Errorf("%v, %v", reply, err)
	}
}

func TestAMemoKeepsTheFirstAnswer(t *testing.T) {
	h, ctx := host(t), context.Background()
	failed := errors.New("not yet")
	for _, c := range []struct {
		value int
		err   error
		want  int
	}{{0, failed, 0}, {1, nil, 1}, {2, nil, 1}, {0, failed, 1}} {
		got, err := executors.Memo(ctx, h, "memo", func(context.Context) (int, error) { return c.value, c.err })
		if got != c.want || (c.want == 0) != (err != nil) {
			t.Errorf("%+v: got %d, %v", c, got, err)
		}
	}
}

// A query that is played keeps the bounds of one that is a process, and what is not played
// is started.
func TestAPlayedQueryKeepsItsBounds(t *testing.T) {
	h := host(t)
	h.Play = func(_ string, args []string, out io.Writer) (int, bool) {
		if args[0] == "exit 3" {
			return 0, false
		}
		for i := 0; args[0] == "flood" && i <= executors.QueryLimit>>10; i++ {
			if _, err := out.Write(make([]byte, 1<<10)); err != nil {
				return 1, true
			}
		}
		fmt.Fprintln(out, "played", args[0])
		return 7, true
	}
	if reply, err := h.Query(t.Context(), "do", "a"); err != nil || reply.Code != 7 || string(reply.Output) != "played a\n" {
		t.Errorf("got %+v, %v", reply, err)
	}
	if reply, err := h.Query(t.Context(), "do", "flood"); !errors.Is(err, executors.ErrFlood) || len(reply.Output) != executors.QueryLimit {
		t.Errorf("a flood: %d bytes, %v", len(reply.Output), err)
	}
	if reply, err := h.Query(t.Context(), "do", "exit 3"); err != nil || reply.Code != 3 {
		t.Errorf("not played: %+v, %v", reply, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(executors.ErrCancelled)
	if _, err := h.Query(ctx, "do", "a"); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := h.Query(t.Context(), "nothing", "a"); !errors.Is(err, executors.ErrNotFound) {
		t.Errorf("no such tool: %v", err)
	}
}
