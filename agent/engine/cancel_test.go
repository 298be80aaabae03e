package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestACancelBeforeTheTaskBeganStartsNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["HOLDS"] = script{execute: b.steps(b.command("holds", "gate"))}
	b.types["ONE"] = script{execute: b.steps(b.command("never", "ok"))}
	b.run()
	b.submit("t0", "HOLDS")
	b.begun("holds", 1)
	waits := b.submit("waits", "ONE")
	wait.For(b.t, "it is queued", func() bool { return waits.Latest().Phase == protocol.Queued })
	recorded := b.admit("recorded", []string{"ONE"})
	if _, err := recorded.Cancel("no longer wanted"); err != nil {
		t.Fatal(err)
	}
	b.engine.Cancel(recorded) // nobody runs it yet
	b.engine.Submit(recorded)
	b.cancel(waits)
	for _, id := range []string{"waits", "recorded"} {
		wantVerdict(t, b.verdict(id), protocol.Deleted, protocol.TaskCancelled, "Cancelled (no longer wanted). No action had been started on this host.")
	}
	b.openGate("holds")
	wantVerdict(t, b.verdict("t0"), protocol.Success, "")
	b.wantCount("never", 0)
}

func TestACancelEndsAProgramAsItsPolicyAllows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind string
		kill executors.Kill
		says string
		late bool // it has to be let go by the test
	}{
		"killed when it does not listen": {"deaf-gate", executors.KillTree, "step (cancelled)", false},
		"ended by a polite signal":       {"gate", executors.KillTermOnly, "step (cancelled)", false},
		"waited for":                     {"gate", executors.KillNever, "step (done)", true},
	} {
		for _, when := range []string{"while the agent runs", "while the agent is away"} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				b := newBed(t, map[string]executors.Executor{})
				cmd := b.command("step", test.kind)
				cmd.Kill = test.kill
				b.types["ONE"] = script{execute: b.steps(cmd, b.command("next", "ok"))}
				b.run()
				task := b.submit("t1", "ONE")
				b.begun("step", 1)
				if when == "while the agent runs" {
					b.cancel(task)
				} else {
					if _, err := task.Cancel("no longer wanted"); err != nil {
						t.Fatal(err)
					}
					b.restart()
					task = b.store.Open("t1")
				}
				if test.late {
					b.openGate("step")
				}
				wantVerdict(t, b.verdict("t1"), protocol.Deleted, protocol.TaskCancelled, "Actions on this host: "+test.says+".")
				wantEnded(t, task)
				b.wantCount("step", 1)
				b.wantCount("next", 0)
				b.engine.Cancel(task) // after the verdict: nothing
			})
		}
	}
}

// A replay may come to nothing before it comes to the step that runs; the
// program must not be forgotten for that.
func TestAProgramThatTheReplayDoesNotComeToIsEndedBeforeTheVerdict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		again func(context.Context, executors.Host) (executors.Result, error)
		kill  executors.Kill
		stop  bool
		state protocol.State
		code  protocol.Code
		says  string
	}{
		"cancelled": {
			func(ctx context.Context, _ executors.Host) (executors.Result, error) {
				<-ctx.Done()
				return executors.Result{}, context.Cause(ctx)
			},
			executors.KillTree, true, protocol.Deleted, protocol.TaskCancelled, "step (cancelled)",
		},
		"failed": {
			func(context.Context, executors.Host) (executors.Result, error) {
				return executors.Result{}, executors.Fail(protocol.HDKUnreadable, "the tool is gone")
			},
			executors.KillNever, false, protocol.Failed, protocol.HDKUnreadable, "the tool is gone",
		},
		"crashed": {
			func(context.Context, executors.Host) (executors.Result, error) { panic("at the disco") },
			executors.KillNever, false, protocol.Failed, protocol.ExecutorFailed, "at the disco",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, map[string]executors.Executor{})
			cmd := b.command("step", "gate")
			cmd.Kill = test.kill
			b.types["ONE"] = script{execute: b.steps(cmd)}
			b.run()
			b.submit("t1", "ONE")
			b.begun("step", 1)
			b.halt()
			b.types["ONE"] = script{execute: test.again}
			b.run()
			task := b.store.Open("t1")
			if test.stop {
				b.cancel(task)
			} else {
				b.openGate("step")
			}
			wantVerdict(t, b.verdict("t1"), test.state, test.code, test.says)
			wantEnded(t, task)
			b.wantCount("step", 1)
		})
	}
}

func TestAnUpgradeGoesOnToItsLastInstallerAfterACancel(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	driver, firmware := b.command("driver", "gate"), b.command("firmware", "gate")
	driver.Kill, firmware.Kill = executors.KillNever, executors.KillNever
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		if _, err := host.Command(ctx, driver); err != nil {
			return executors.Result{}, err
		}
		if _, err := host.Command(context.WithoutCancel(ctx), firmware); err != nil {
			return executors.Result{}, err
		}
		if ctx.Err() != nil {
			return executors.Result{}, executors.Fail(protocol.TaskCancelled, "Driver 24.1 and firmware 7.5 are installed.")
		}
		return executors.Result{Message: "done"}, nil
	}}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("driver", 1)
	b.cancel(task)
	b.openGate("driver")
	b.begun("firmware", 1)
	b.restart() // the cancel is obeyed at the same place after a restart
	b.openGate("firmware")
	wantVerdict(t, b.verdict("t1"), protocol.Deleted, protocol.TaskCancelled,
		"Cancelled (no longer wanted)", "Driver 24.1 and firmware 7.5 are installed.", "driver (done), firmware (done)")
	b.wantCount("driver", 1)
	b.wantCount("firmware", 1)
}

func TestACancelDuringTheGraceDoesNotShortenIt(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	cmd := b.command("step", "deaf-gate")
	cmd.Timeout, cmd.Grace = 2*time.Second, 20*time.Second
	b.types["ONE"] = script{execute: b.steps(cmd)}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("step", 1)
	attempt := step.Attempt{Dir: filepath.Join(task.Dir(), task.Starts()[0].Dir), Boot: b.boot}
	wait.For(b.t, "it was told to end and does not listen", func() bool {
		d, ok := attempt.RunningFor()
		return ok && d > cmd.Timeout+100*time.Millisecond
	})
	b.cancel(task)
	b.openGate("step") // within the grace
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Deleted, protocol.TaskCancelled, "step (timed-out)")
	if end := task.Attempts(0, "step")[0].End; end.Signal != "" {
		t.Errorf("the program was ended by %s", end.Signal)
	}
}

func TestTheTimeOfATaskIsCountedOverRestarts(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("step", "gate"), b.command("next", "ok"))}
	b.run()
	task := b.admit("t1", []string{"ONE"}, func(a *journal.AcceptRecord) { a.Task.TimeoutSeconds = 3 })
	b.engine.Submit(task)
	b.begun("step", 1)
	for task.Spent() < 2*time.Second {
		b.restart()
		if now := b.store.Open("t1"); now != nil {
			task = now
		}
	}
	began := time.Now()
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Failed, protocol.DeadlineExceeded, "ran out of time after", "step (timed-out)")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the rest of three seconds took %s", took)
	}
	wantEnded(t, task)
	b.wantCount("next", 0)
}

func TestAnAbsurdTimeoutIsNoDeadlineAtOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("step", "ok"))}
	b.run()
	b.engine.Submit(b.admit("t1", []string{"ONE"}, func(a *journal.AcceptRecord) { a.Task.TimeoutSeconds = 1 << 62 }))
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
}

func TestASubmitAndACancelAtOnceAlwaysEndTheTask(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{shared: true, execute: func(ctx context.Context, _ executors.Host) (executors.Result, error) {
		<-ctx.Done() // only the cancel ends it
		return executors.Result{}, context.Cause(ctx)
	}}
	b.run()
	for n := range 20 {
		id := fmt.Sprintf("t%d", n)
		task := b.admit(id, []string{"ONE"})
		go b.engine.Submit(task)
		b.cancel(task)
		wantVerdict(t, b.verdict(id), protocol.Deleted, protocol.TaskCancelled)
	}
}
