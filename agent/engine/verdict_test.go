package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/agent/engine"
	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestAFailureSaysWhatTheItemsBeforeItReached(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["UPGRADE"] = script{execute: func(context.Context, executors.Host) (executors.Result, error) {
		return executors.Result{Message: "24.1 is installed", RebootRequired: true}, nil
	}}
	b.types["FAIL"] = script{execute: func(context.Context, executors.Host) (executors.Result, error) {
		return executors.Result{}, executors.Fail(protocol.StepFailed, "the stress test found an error: %w", errors.New("ecc"))
	}}
	b.run()
	b.submit("t1", "UPGRADE", "FAIL", "UPGRADE")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Failed, protocol.StepFailed)
	if want := "24.1 is installed\nthe stress test found an error: ecc"; verdict.Message != want || !verdict.RebootRequired || verdict.Item != 1 || verdict.ItemType != "FAIL" {
		t.Errorf("verdict is %+v", verdict)
	}
}

func TestWhatEndsAnExecutorEndsItsTaskOnly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		execute func(context.Context, executors.Host) (executors.Result, error)
		code    protocol.Code
		says    string
	}{
		"a panic": {
			func(context.Context, executors.Host) (executors.Result, error) { panic("index out of range") },
			protocol.ExecutorFailed, "the executor crashed, which is a fault of the agent: please report it: index out of range",
		},
		"a failure without a code": {
			func(context.Context, executors.Host) (executors.Result, error) {
				return executors.Result{}, &executors.Failure{Message: "no code"}
			},
			protocol.ExecutorFailed, "no code",
		},
		"a tool that is not there": {
			func(ctx context.Context, host executors.Host) (executors.Result, error) {
				_, err := host.Command(ctx, executors.Command{Step: "flash", Argv: []string{"no-such-tool"}})
				return executors.Result{}, err
			},
			protocol.ExecutorFailed, "no-such-tool: tool not found on this host",
		},
		"a step without a name": {
			func(ctx context.Context, host executors.Host) (executors.Result, error) {
				_, err := host.Command(ctx, executors.Command{Step: "../../x", Argv: []string{"sh"}})
				return executors.Result{}, err
			},
			protocol.ExecutorFailed, "its name is not letters",
		},
		"a step without a program": {
			func(ctx context.Context, host executors.Host) (executors.Result, error) {
				_, err := host.Command(ctx, executors.Command{Step: "x"})
				return executors.Result{}, err
			},
			protocol.ExecutorFailed, "it has no program",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, map[string]executors.Executor{"ONE": script{execute: test.execute}, "TWO": script{execute: func(context.Context, executors.Host) (executors.Result, error) {
				return executors.Result{Message: strings.Repeat("x", 5000)}, nil
			}}})
			b.run()
			b.submit("t1", "ONE")
			wantVerdict(t, b.verdict("t1"), protocol.Failed, test.code, test.says)
			b.submit("t2", "TWO", "ONE")
			wantVerdict(t, b.verdict("t2"), protocol.Failed, test.code, test.says)
		})
	}
}

func TestALongMessageDoesNotHideAnInterruption(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	flash := b.command("flash", "gate")
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := b.retry(flash)(ctx, host)
		return executors.Result{Message: strings.Repeat("é", protocol.MaxMessage)}, err
	}}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("flash", 1)
	b.killStep(task, "flash")
	b.openGate("flash")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "", "é [...]\nNote: flash was interrupted and started 2 times.")
	if len(verdict.Message) > protocol.MaxMessage {
		t.Errorf("the message is %d bytes long", len(verdict.Message))
	}
}

func TestATaskExpiresBeforeItsFirstActionOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	var now time.Time
	began := time.Now()
	b.change = func(o *engine.Options) { o.Now = func() time.Time { return now } }
	now = began
	soon := func(a *journal.AcceptRecord) { a.ExpiresAt = protocol.Millis(began.Add(300 * time.Millisecond)) }
	b.types["HOLDS"] = script{execute: b.steps(b.command("holds", "gate"))}
	b.types["ONE"] = script{execute: b.steps(b.command("never", "ok"))}
	b.run()
	b.submit("t0", "HOLDS")
	b.begun("holds", 1)
	b.engine.Submit(b.admit("waits", []string{"ONE"}, soon))
	wantVerdict(t, b.verdict("waits"), protocol.Failed, protocol.TaskExpired, "before its first action; nothing was started")
	b.openGate("holds")
	b.verdict("t0")
	b.halt()

	// It is granted in time, and by the newest time that is known too late.
	late := func(ctx context.Context, host executors.Host) (executors.Result, error) {
		now = began.Add(time.Hour)
		_, err := host.Command(ctx, b.command("late", "ok"))
		if err == nil {
			return executors.Result{Message: "done"}, nil
		}
		return executors.Result{Message: "an executor that does not care"}, nil
	}
	b.types["LATE"] = script{execute: late}
	b.run()
	b.engine.Submit(b.admit("late", []string{"LATE"}, func(a *journal.AcceptRecord) { a.ExpiresAt = protocol.Millis(began.Add(time.Minute)) }))
	wantVerdict(t, b.verdict("late"), protocol.Failed, protocol.TaskExpired)
	now = began
	b.types["TWO"] = nil
	b.halt()
	b.types["TWO"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		if _, err := host.Command(ctx, b.command("early", "ok")); err != nil {
			return executors.Result{}, err
		}
		return late(ctx, host)
	}}
	b.run()
	b.engine.Submit(b.admit("begun", []string{"TWO"}, func(a *journal.AcceptRecord) { a.ExpiresAt = protocol.Millis(began.Add(time.Minute)) }))
	wantVerdict(t, b.verdict("begun"), protocol.Success, "", "done")
	b.wantCount("never", 0)
	b.wantCount("late", 1)
}

func TestATaskHasABoundedNumberOfStatuses(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("never", "ok"))}
	b.run()
	task := b.admit("t1", []string{"ONE"})
	for {
		_, err := task.Say(protocol.Status{Status: protocol.Processing, Phase: protocol.Queued})
		if errors.Is(err, journal.ErrStatusLimit) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.engine.Submit(task)
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.StatusLimit)
	if n := len(task.Statuses()); n != protocol.MaxStatuses {
		t.Errorf("the task has %d statuses", n)
	}
	b.wantCount("never", 0)
}

// A write to /dev/full finds the disk full, as write(2) has it.
func TestATaskGoesOnWhenThereIsRoomAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("first", "ok"), b.command("second", "ok"))}
	b.run()
	task := b.admit("t1", []string{"ONE"})
	dir := filepath.Join(task.Dir(), "steps", "0", "01-second")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(dir, "spec.json")); err != nil {
		t.Fatal(err)
	}
	b.engine.Submit(task)
	b.begun("first", 1)
	wait.For(b.t, "the reserve is given up", func() bool {
		_, err := os.Stat(filepath.Join(b.dir, "reserve"))
		return errors.Is(err, os.ErrNotExist)
	})
	if task.Latest().Status.Terminal() {
		t.Errorf("the task ended: %+v", task.Latest())
	}
	if err := os.Remove(filepath.Join(dir, "spec.json")); err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
	b.wantCount("first", 1)
	b.wantCount("second", 1)
}

// A shim that finds the disk full ends without having begun, and that the
// attempt is given up has to be written down too.
func TestAnAttemptIsGivenUpWhenThereIsRoomAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("first", "ok"))}
	working := b.self
	b.self = filepath.Join(t.TempDir(), "shim")
	becomes := func(program string) {
		if err := errors.Join(os.Symlink(program, b.self+".new"), os.Rename(b.self+".new", b.self)); err != nil {
			t.Error(err)
		}
	}
	becomes("/bin/false")
	b.run()
	task := b.admit("t1", []string{"ONE"})
	dir := filepath.Join(task.Dir(), "steps", "0", "01-first")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(dir, "abandoned")); err != nil {
		t.Fatal(err)
	}
	b.engine.Submit(task)
	wait.For(b.t, "the reserve is given up", func() bool {
		_, err := os.Stat(filepath.Join(b.dir, "reserve"))
		return errors.Is(err, os.ErrNotExist)
	})
	becomes(working)
	if err := os.Remove(filepath.Join(dir, "abandoned")); err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
	b.wantCount("first", 1)
}

func TestAJournalThatCannotBeWrittenStopsTheAgent(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("step", "gate"))}
	b.run()
	b.submit("t1", "ONE")
	b.begun("step", 1)
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	b.openGate("step")
	if err := b.engine.Wait(); err == nil || !strings.Contains(err.Error(), "task t1") {
		t.Errorf("the engine says %v", err)
	}
	b.store = nil
}
