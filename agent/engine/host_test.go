package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"devserver-agent/agent/engine"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// tool puts a script where the host's tools are looked for.
func (b *bed) tool(name, script string) {
	b.t.Helper()
	dir := filepath.Join(filepath.Dir(b.dir), "root", "usr", "bin")
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) root(o *engine.Options) {
	o.Tools = step.Tools{Root: filepath.Join(filepath.Dir(b.dir), "root")}
}

func TestASurveyLooksAndDoesNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.tool("npu-smi", "echo driver $1\n")
	b.change = func(o *engine.Options) {
		b.root(o)
		o.Survey = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
			_, acted := host.Command(ctx, b.command("never", "ok"))
			host.Progress(50, "nothing")
			host.Printf("nothing")
			driver, err := executors.Memo(ctx, host, "driver", func(ctx context.Context) (string, error) {
				reply, err := host.Query(ctx, "npu-smi", "24.1")
				return string(reply.Output), err
			})
			_, missing := host.Query(ctx, "hccn_tool")
			return executors.Result{Message: fmt.Sprintf("%q in %s, acted: %v, missing: %v", driver, host.Boot(), acted == nil, errors.Is(missing, executors.ErrNotFound))}, err
		}}
	}
	b.run()
	b.engine.Submit(b.admit("t1", []string{"ONE"}, func(a *journal.AcceptRecord) { a.Replaced = "other" }))
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.HostReplaced, `The host now: "driver 24.1\n" in boot-1, acted: false, missing: true`)
	b.wantCount("never", 0)
}

func TestAVerdictWaitsForItsSurvey(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	asked := make(chan struct{}, 1)
	b.change = func(o *engine.Options) {
		o.Survey = script{execute: func(ctx context.Context, _ executors.Host) (executors.Result, error) {
			asked <- struct{}{}
			<-ctx.Done()
			return executors.Result{}, context.Cause(ctx)
		}}
	}
	b.run()
	b.engine.Submit(b.admit("t1", []string{"ONE"}, func(a *journal.AcceptRecord) { a.Replaced = "other" }))
	<-asked
	b.halt() // at once, although the survey has time
	b.change = withSurvey("all is well")
	b.run()
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.HostReplaced, "The host now: all is well")
}

func TestAnExecutorReadsItsHost(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.tool("npu-smi", "echo driver $1; exit 3\n")
	b.change = b.root
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		reply, err := host.Query(ctx, "npu-smi", "24.1")
		if err != nil {
			return executors.Result{}, err
		}
		_, fileErr := host.Files().Open("usr/bin/npu-smi")
		return executors.Result{Message: fmt.Sprintf("%s%d %v", reply.Output, reply.Code, fileErr)}, nil
	}}
	b.run()
	task := b.submit("t1", "ONE")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	if verdict.Message != "driver 24.1\n3 <nil>" || verdict.Attempts != 0 {
		t.Errorf("verdict is %q after %d attempts", verdict.Message, verdict.Attempts)
	}
	if n := len(task.Starts()); n > 0 {
		t.Errorf("a query was recorded as %d starts", n)
	}
}

// Somebody deletes the state directory while the agent works. A folder of the task that
// came back without its log would make it a task that the next agent knows and never runs.
func TestATaskThatWasDeletedDoesNotComeBackInPart(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(context.Context, *bed, executors.Host) error{
		"for a step": func(ctx context.Context, b *bed, host executors.Host) error {
			_, err := host.Command(ctx, b.command("flash", "ok"))
			return err
		},
		"for scratch": func(_ context.Context, _ *bed, host executors.Host) error {
			_, err := host.Scratch()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, map[string]executors.Executor{})
			acted := make(chan error, 1)
			b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
				err := os.RemoveAll(b.dir)
				if err == nil {
					err = act(ctx, b, host)
				}
				acted <- err
				return executors.Result{}, err
			}}
			b.run()
			b.submit("t1", "ONE")
			ended := make(chan error, 1)
			go func() { ended <- errors.Join(<-acted, b.engine.Wait()) }()
			select {
			case err := <-ended: // the agent ends, and the next one begins without a state
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(wait.Patience):
				t.Fatal("the agent goes on as if nothing was")
			}
			b.stop()
			b.stop = nil
			if _, err := os.Lstat(b.dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder is back: %v", err)
			}
			b.wantCount("flash", 0)
		})
	}
}

func TestAShimThatCannotBeStartedStartsNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.change = func(o *engine.Options) { o.Surroundings = step.Process{Shim: []string{"/no/such/agent"}} }
	b.types["ONE"] = script{execute: b.steps(b.command("flash", "ok"))}
	b.run()
	task := b.submit("t1", "ONE")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Failed, protocol.ExecutorFailed, "/no/such/agent")
	if verdict.Attempts != 0 {
		t.Errorf("verdict counts %d attempts", verdict.Attempts)
	}
	wantEnded(t, task)
	b.wantCount("flash", 0)
}

func TestATypeThatTheAgentHasNoMoreEndsItsTaskAfterItsProgram(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("step", "gate"))}
	b.types["TWO"] = script{execute: b.steps(b.command("two", "ok"))}
	b.run()
	b.engine.Submit(b.admit("t1", []string{"ONE", "TWO"}, func(a *journal.AcceptRecord) { a.Task.TimeoutSeconds = 600 }))
	b.begun("step", 1)
	b.halt()
	delete(b.types, "ONE")
	b.run()
	b.openGate("step")
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.TypeUnknown, "no executor for ONE any more")
	wantEnded(t, b.store.Open("t1"))
	b.wantCount("two", 0)
}

func TestWhoHadTheHostGetsItBackFirst(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("one", "ok"))}
	b.types["TWO"] = script{execute: b.steps(b.command("two", "gate"))}
	b.run()
	b.admit("earlier", []string{"ONE"}) // accepted, and the agent dies before it runs
	b.submit("later", "TWO")
	b.begun("two", 1)
	b.restart()
	if state := b.queue.State(); len(state.Running) != 1 || state.Running[0] != "later" || len(state.Waiting) != 1 {
		t.Errorf("the queue is %+v", state)
	}
	b.openGate("two")
	wantVerdict(t, b.verdict("earlier"), protocol.Success, "")
	wantVerdict(t, b.verdict("later"), protocol.Success, "")
}
