package engine_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"devserver-agent/agent/engine"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// withSurvey answers with a fixed state of the host.
func withSurvey(state string) func(*engine.Options) {
	return func(o *engine.Options) {
		o.Survey = script{execute: func(context.Context, executors.Host) (executors.Result, error) {
			return executors.Result{Message: state}, nil
		}}
	}
}

func TestAReplayThatAsksForSomethingElseEndsTheTask(t *testing.T) {
	t.Parallel()
	ignore := func(cmds ...executors.Command) func(context.Context, executors.Host) (executors.Result, error) {
		return func(ctx context.Context, host executors.Host) (executors.Result, error) {
			for _, cmd := range cmds {
				_, _ = host.Command(ctx, cmd) // an executor that believes all is well
			}
			return executors.Result{Message: "all is well"}, nil
		}
	}
	other := func(cmd executors.Command) executors.Command {
		cmd.Argv = append(append([]string{}, cmd.Argv[:3]...), cmd.Argv[3]+"x", cmd.Argv[4])
		return cmd
	}
	type take = func(context.Context, executors.Host) (executors.Result, error)
	for name, test := range map[string]struct {
		after func(b *bed, done, runs, fresh executors.Command) take
		says  string
	}{
		"a new command while an earlier one was not asked for": {
			func(b *bed, done, _, fresh executors.Command) take { return b.steps(fresh, done) },
			"step new: replay asks for something else than was recorded: step done was started 1 times and is asked for 0 times",
		},
		"another program under a recorded name": {
			func(b *bed, done, _, fresh executors.Command) take { return b.steps(other(done), fresh) },
			"it was started as",
		},
		"a step that ended, once more": {
			func(b *bed, done, _, fresh executors.Command) take { return b.steps(done, done, fresh) },
			"step done: replay asks for something else than was recorded: it ended and is asked for again",
		},
		"an end that leaves a recorded step out": {
			func(b *bed, done, _, _ executors.Command) take { return b.steps(done) },
			"step runs was started 1 times and is asked for 0 times",
		},
		"an executor that does not care": {
			func(b *bed, done, runs, fresh executors.Command) take { return ignore(fresh, done, runs, fresh) },
			"step new: replay asks for something else",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, map[string]executors.Executor{})
			b.change = withSurvey("driver 24.1 runs")
			done, runs, fresh := b.command("done", "ok"), b.command("runs", "gate"), b.command("new", "ok")
			b.types["ONE"] = script{execute: b.steps(done, runs)}
			b.run()
			b.submit("t1", "ONE")
			b.begun("runs", 1)
			b.halt()
			b.types["ONE"] = script{execute: test.after(b, done, runs, fresh)}
			b.run()
			b.openGate("runs")
			wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.ReplayDiverged, test.says, "The host now: driver 24.1 runs", "nothing more was started")
			b.wantCount("new", 0)
			b.wantCount("done", 1)
			b.wantCount("runs", 1)
			wantEnded(t, b.store.Open("t1"))
		})
	}
}

func TestASecondAttemptIsAskedForAsTheFirstWas(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(b *bed, flash executors.Command) executors.Command{
		"with another program": func(b *bed, _ executors.Command) executors.Command { return b.command("flash", "slow:1") },
		"before another step":  func(b *bed, _ executors.Command) executors.Command { return b.command("next", "ok") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, map[string]executors.Executor{})
			flash := b.command("flash", "gate")
			b.types["ONE"] = script{execute: b.retry(flash)}
			b.run()
			task := b.submit("t1", "ONE")
			b.begun("flash", 1)
			b.killStep(task, "flash")
			b.begun("flash", 2)
			b.halt()
			b.openGate("flash")
			b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
				_, _ = host.Command(ctx, flash) // interrupted
				_, err := host.Command(ctx, second(b, flash))
				return executors.Result{}, err
			}}
			b.run()
			wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.ReplayDiverged, "flash was interrupted and started 2 times")
			b.wantCount("flash", 2)
			b.wantCount("next", 0)
			wantEnded(t, b.store.Open("t1"))
		})
	}
}

type verified struct {
	script
	verify func(context.Context, executors.Host) (executors.Result, error)
}

func (v verified) Verify(ctx context.Context, host executors.Host, _ executors.Spec) (executors.Result, error) {
	return v.verify(ctx, host)
}

func TestVerifySeesTheMemosAndStartsNoStepOfExecutes(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	executed := script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := executors.Memo(ctx, host, "plan", func(context.Context) (string, error) { return "24.1", nil })
		return executors.Result{Message: "installed", RebootRequired: true}, err
	}}
	b.types["GOOD"] = verified{executed, func(ctx context.Context, host executors.Host) (executors.Result, error) {
		plan, err := executors.Memo(ctx, host, "plan", func(context.Context) (string, error) { return "read again", nil })
		return executors.Result{Message: plan + " runs"}, err
	}}
	b.types["BAD"] = verified{executed, func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := host.Command(ctx, b.command("late", "ok"))
		return executors.Result{}, err
	}}
	b.run()
	task := b.submit("t1", "GOOD")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	if verdict.Message != "24.1 runs" || verdict.RebootRequired {
		t.Errorf("verdict is %q, reboot required: %v", verdict.Message, verdict.RebootRequired)
	}
	if got := task.Statuses()[2].Status.Phase; got != protocol.Verifying {
		t.Errorf("the third status is %s", got)
	}
	b.submit("t2", "BAD")
	wantVerdict(t, b.verdict("t2"), protocol.Failed, protocol.ReplayDiverged)
	b.wantCount("late", 0)
}

// Steps of Verify are taken once each, whoever dies meanwhile, beside those of
// Execute, and get what they are to read.
func TestStepsOfVerify(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	look := b.command("verify-look", "gate")
	tell := executors.Command{Step: "verify-tell", Argv: []string{"/bin/cat"}, Input: []byte("what was given\n")}
	b.types["LOOK"] = verified{script{execute: b.steps(b.command("act", "ok"))}, func(ctx context.Context, host executors.Host) (executors.Result, error) {
		if _, err := host.Command(ctx, look); err != nil {
			return executors.Result{}, err
		}
		_, err := host.Command(ctx, tell)
		return executors.Result{Message: "looked"}, err
	}}
	b.run()
	b.submit("t1", "LOOK")
	b.begun("verify-look", 1)
	b.restart()
	b.openGate("verify-look")
	if verdict := b.verdict("t1"); verdict.Message != "looked" {
		t.Errorf("verdict is %+v", verdict)
	}
	b.wantCount("act", 1)
	b.wantCount("verify-look", 1)
	output, err := os.ReadFile(b.store.Open("t1").OutputPath(0))
	if err != nil || !strings.Contains(string(output), "what was given\n") {
		t.Errorf("output is %q, %v", output, err)
	}
}
