package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// asks is a program with a child that both ask for ever, as installers do whose standard
// input is empty. It would not end at a polite signal.
const asks = `trap "" TERM; echo "[y/n]?"; (while :; do echo "input error"; sleep 0.01; done) & while :; do sleep 0.01; done`

// givingUp runs a program that must not be killed and is given up when it asks.
func givingUp(until string, ended chan<- string) func(context.Context, executors.Host) (executors.Result, error) {
	return func(ctx context.Context, host executors.Host) (executors.Result, error) {
		var heard strings.Builder
		exit, err := host.Command(ctx, executors.Command{
			Step: "flash", Argv: []string{"/bin/sh", "-c", asks}, Kill: executors.KillNever, Grace: 1,
			Watch:  func(piece []byte) { heard.Write(piece) },
			GiveUp: func() bool { return strings.Contains(heard.String(), until) },
		})
		if ended != nil && err != nil {
			ended <- err.Error()
		}
		if errors.Is(err, executors.ErrGivenUp) {
			return executors.Result{Message: fmt.Sprintf("given up, signal %q, heard %v", exit.Signal, strings.HasPrefix(heard.String(), "[y/n]?\n"))}, nil
		}
		return executors.Result{}, err
	}
}

// A program that must not be killed is ended all the same, with all that it started, when
// its executor says that it can come to no good end; a replay gets the same answer.
func TestAProgramIsGivenUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: givingUp("input error", nil)}
	b.run()
	task := b.submit("t1", "ONE")
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", `given up, signal "killed", heard true`)
	if end := task.Attempts(0, "flash")[0].End; end == nil || end.Outcome != journal.GivenUp {
		t.Errorf("its end is recorded as %+v", end)
	}
	wantEnded(t, task)
	if b.queue.State().Occupied {
		t.Error("the host is closed")
	}
}

// An agent that is started while such a program runs, hears it from the beginning and
// gives it up.
func TestAProgramIsGivenUpAfterARestartOfTheAgent(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	ended := make(chan string, 1)
	b.types["ONE"] = script{execute: givingUp("nothing that it says", ended)}
	b.run()
	task := b.submit("t1", "ONE")
	wait.For(t, "it asks", func() bool {
		raw, err := os.ReadFile(task.OutputPath(0))
		return err == nil && strings.Contains(string(raw), "input error")
	})
	b.halt()
	if said := <-ended; !strings.Contains(said, executors.ErrStopping.Error()) {
		t.Errorf("the first agent ended with %s", said)
	}
	b.types["ONE"] = script{execute: givingUp("input error", nil)}
	b.run()
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", "given up")
	wantEnded(t, b.store.Open("t1"))
}

// What was recorded as given up is not asked about again.
func TestAReplayIsAnsweredThatAProgramWasGivenUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	first := givingUp("input error", nil)
	stop := make(chan struct{})
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, _ = first(ctx, host)
		close(stop)
		<-ctx.Done()
		return executors.Result{}, context.Cause(ctx)
	}}
	b.run()
	b.submit("t1", "ONE")
	<-stop
	b.halt()
	b.types["ONE"] = script{execute: givingUp("nothing that it says", nil)}
	b.run()
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", "given up")
	if got := len(b.store.Open("t1").Attempts(0, "flash")); got != 1 {
		t.Errorf("it was started %d times", got)
	}
}

// A program that goes on when it is asked politely to end, and then does what must not be
// cut, is left alone: it ends by itself.
func TestAProgramThatGoesOnIsNotGivenUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	gate := filepath.Join(t.TempDir(), "gate")
	const grace = 200 * time.Millisecond
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		var heard strings.Builder
		var begun time.Time
		exit, err := host.Command(ctx, executors.Command{
			Step: "flash", Argv: []string{"/bin/sh", "-c", "trap 'echo begun' TERM; echo '[y/n]?'; while [ ! -e '" + gate + "' ]; do sleep 0.01; done; echo ended"},
			Kill: executors.KillNever, Grace: grace,
			Watch: func(piece []byte) { heard.Write(piece) },
			GiveUp: func() bool {
				switch {
				case !strings.Contains(heard.String(), "begun"):
					return strings.Contains(heard.String(), "[y/n]?")
				case begun.IsZero():
					begun = time.Now()
				case time.Since(begun) > 3*grace: // long after it would have been killed
					if err := os.WriteFile(gate, nil, 0o600); err != nil {
						t.Error(err)
					}
				}
				return false
			},
		})
		return executors.Result{Message: fmt.Sprintf("code %d, signal %q, %v: %s", exit.Code, exit.Signal, err, heard.String())}, nil
	}}
	b.run()
	task := b.submit("t1", "ONE")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	// The shell says of its sleep that it was terminated, or not.
	want := "code 0, signal \"\", <nil>: [y/n]?\nbegun\nended\n"
	if got := strings.ReplaceAll(verdict.Message, "Terminated\n", ""); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if end := task.Attempts(0, "flash")[0].End; end == nil || end.Outcome != journal.Exited {
		t.Errorf("its end is recorded as %+v", end)
	}
}

// What a program printed last counts: an agent that is started hears all that is on the
// disk before it gives a program up.
func TestAProgramIsHeardToTheEndBeforeItIsGivenUp(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	gate := filepath.Join(t.TempDir(), "gate")
	flash := func(hopeless func(heard string) bool) func(context.Context, executors.Host) (executors.Result, error) {
		return func(ctx context.Context, host executors.Host) (executors.Result, error) {
			var heard strings.Builder
			exit, err := host.Command(ctx, executors.Command{
				Step: "flash", Argv: []string{"/bin/sh", "-c", "echo '[y/n]?'; head -c 200000 /dev/zero; echo begun; while [ ! -e '" + gate + "' ]; do sleep 0.01; done"},
				Kill: executors.KillNever, Grace: 1,
				Watch:  func(piece []byte) { heard.Write(piece) },
				GiveUp: func() bool { return hopeless(heard.String()) },
			})
			return executors.Result{Message: fmt.Sprintf("code %d, signal %q", exit.Code, exit.Signal)}, err
		}
	}
	b.types["ONE"] = script{execute: flash(func(string) bool { return false })}
	b.run()
	task := b.submit("t1", "ONE")
	wait.For(t, "it has begun", func() bool {
		raw, err := os.ReadFile(task.OutputPath(0))
		return err == nil && strings.HasSuffix(string(raw), "begun\n")
	})
	b.halt()
	var opened bool
	b.types["ONE"] = script{execute: flash(func(heard string) bool {
		if strings.Contains(heard, "begun") && !opened {
			opened = true
			if err := os.WriteFile(gate, nil, 0o600); err != nil {
				t.Error(err)
			}
		}
		return strings.Contains(heard, "[y/n]?") && !strings.Contains(heard, "begun")
	})}
	b.run()
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", `code 0, signal ""`)
}
