package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/agent/journal"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestItemsRunInOrderAndTheirMessagesAreJoined(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("a", "ok"), b.command("b", "chatty:100"))}
	b.types["TWO"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		host.Progress(140, "nearly")
		host.Printf("hello %d\n", 7)
		exit, err := host.Command(ctx, b.command("a", "fail:4"))
		return executors.Result{Message: fmt.Sprintf("exit %d", exit.Code), Code: protocol.RebootRequired, RebootRequired: true}, err
	}}
	b.run()
	task := b.submit("t1", "ONE", "TWO")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, protocol.RebootRequired)
	if want := "2 steps done\nexit 4"; verdict.Message != want {
		t.Errorf("message is %q, want %q", verdict.Message, want)
	}
	if !verdict.RebootRequired || verdict.Attempts != 1 || verdict.Phase != protocol.Done || verdict.Percent != 100 {
		t.Errorf("verdict is %+v", verdict)
	}
	var outputs []int64
	for i, o := range verdict.Items {
		outputs = append(outputs, o.Bytes)
		if got := task.OutputSize(i); got != o.Bytes {
			t.Errorf("item %d has %d bytes of output, the verdict says %d", i, got, o.Bytes)
		}
	}
	if len(outputs) != 2 || outputs[0] < 100 || outputs[1] != int64(len("hello 7\n")) {
		t.Errorf("outputs are %v", outputs)
	}
	var said []string
	for _, s := range task.Statuses() {
		said = append(said, fmt.Sprintf("%d %s %d", s.Status.Seq, s.Status.Phase, s.Status.Item))
	}
	if diff := cmp.Diff([]string{"1 ACCEPTED 0", "2 RUNNING 0", "3 RUNNING 1", "4 DONE 1"}, said); diff != "" {
		t.Error(diff)
	}
	b.wantCount("a", 2)
	b.wantCount("b", 1)
	wantEnded(t, task)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.progress) != 1 || b.progress[0].Percent != 100 || b.progress[0].Message != "nearly" || !b.progress[0].Progress || b.progress[0].Seq != 3 {
		t.Errorf("progress is %+v", b.progress)
	}
}

// A replay learns when a step began, not when it asks.
func TestAReplayLearnsWhenAStepBegan(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	began := make(chan time.Time, 2)
	executor := func(hold bool) script {
		return script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
			exit, err := host.Command(ctx, b.command("a", "ok"))
			began <- exit.Began
			if hold {
				<-ctx.Done()
				return executors.Result{}, context.Cause(ctx)
			}
			return executors.Result{}, err
		}}
	}
	before := time.Now()
	b.types["ONE"] = executor(true)
	b.run()
	b.submit("t1", "ONE")
	first := <-began
	b.halt()
	ended := time.Now()
	b.types["ONE"] = executor(false)
	b.run()
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
	if again := <-began; !again.Equal(first) || first.Before(before.Truncate(time.Millisecond)) || first.After(ended) {
		t.Errorf("it began at %v, between %v and %v; a replay learns %v", first, before, ended, again)
	}
}

func TestAReplayAttachesToWhatStillRuns(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	memos := 0
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := executors.Memo(ctx, host, "decide", func(context.Context) (string, error) {
			memos++
			return "", nil
		})
		if err != nil {
			return executors.Result{}, err
		}
		return b.steps(b.command("first", "ok"), b.command("slow", "gate"), b.command("last", "ok"))(ctx, host)
	}}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("slow", 1)
	for range 3 {
		b.restart()
		task = b.store.Open("t1")
	}
	b.openGate("slow")
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
	for _, name := range []string{"first", "slow", "last"} {
		b.wantCount(name, 1)
	}
	if memos != 1 {
		t.Errorf("the memo was read %d times", memos)
	}
	wantEnded(t, task)
}

func TestAnEndThatNobodySawIsCollected(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		exit, err := host.Command(ctx, b.command("slow", "gate"))
		return executors.Result{Message: fmt.Sprintf("exit %d attempt %d", exit.Code, exit.Attempt)}, err
	}}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("slow", 1)
	dir := filepath.Join(task.Dir(), task.Starts()[0].Dir)
	b.halt()
	b.openGate("slow")
	wait.For(b.t, "the shim writes down the end", func() bool {
		_, err := os.Stat(filepath.Join(dir, "exit.json"))
		return err == nil
	})
	b.run()
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", "exit 0 attempt 1")
	b.wantCount("slow", 1)
}

// retry takes a step again each time it was interrupted.
func (b *bed) retry(cmd executors.Command) func(context.Context, executors.Host) (executors.Result, error) {
	return func(ctx context.Context, host executors.Host) (executors.Result, error) {
		exit, err := host.Command(ctx, cmd)
		for errors.Is(err, executors.ErrInterrupted) {
			exit, err = host.Command(ctx, cmd)
		}
		return executors.Result{Message: fmt.Sprintf("attempt %d", exit.Attempt)}, err
	}
}

func TestASecondAttemptAfterAnInterruptionIsNamedInTheVerdict(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.retry(b.command("flash", "gate"))}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("flash", 1)
	b.halt()
	b.killStep(task, "flash")
	b.boot = "boot-2"
	b.run()
	b.begun("flash", 2)
	b.restart()
	b.openGate("flash")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "", "attempt 2", "flash was interrupted by a restart of the host and started 2 times")
	if verdict.Attempts != 2 {
		t.Errorf("verdict counts %d attempts, want 2", verdict.Attempts)
	}
	b.wantCount("flash", 2)
}

// A program that was cut left temporary files. The next attempt must not trip over them,
// nor be without room for its own; and no replay may delete those of one that runs.
func TestEveryAttemptHasTemporaryFilesOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	folders := filepath.Join(t.TempDir(), "folders")
	told := func() []string {
		said, err := os.ReadFile(folders)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Fields(string(said))
	}
	b.types["ONE"] = script{execute: b.retry(executors.Command{
		Step: "install", Temp: true, Kill: executors.KillTree,
		Argv: []string{"/bin/sh", "-c", `mkdir "$TMPDIR/unpacked" && echo "$TMPDIR" >>"$1" && until [ -e "$2" ]; do sleep 0.02; done`, "sh", folders, b.gate("install")},
	})}
	b.run()
	task := b.submit("t1", "ONE")
	wait.For(b.t, "the first attempt has temporary files", func() bool { return len(told()) == 1 })
	b.halt()
	b.killStep(task, "install")
	b.boot = "boot-2"
	b.run()
	wait.For(b.t, "the second attempt has temporary files", func() bool { return len(told()) == 2 })
	b.restart()
	first, second := told()[0], told()[1]
	if _, err := os.Stat(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the first attempt left is still there: %v", err)
	}
	if info, err := os.Stat(second); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the folder is %v: %v", info, err)
	}
	b.openGate("install")
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", "attempt 2")
	if _, err := os.Stat(filepath.Join(second, "unpacked")); err != nil {
		t.Errorf("a replay took the temporary files of a program that ran: %v", err)
	}
}

func TestAnExecutorThatDoesNotRepeatIsInterrupted(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: b.steps(b.command("flash", "gate"), b.command("next", "ok"))}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("flash", 1)
	b.killStep(task, "flash")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Failed, protocol.StepInterrupted, "step flash: was cut in the middle", "flash (interrupted)")
	if verdict.Step != "flash" {
		t.Errorf("verdict speaks of step %q", verdict.Step)
	}
	b.wantCount("flash", 1)
	b.wantCount("next", 0)
}

func TestAnAttemptThatNeverStartedIsReplacedInSilence(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	cmd := b.command("flash", "ok")
	b.types["ONE"] = script{execute: b.retry(cmd)}
	b.open()
	task := b.admit("t1", []string{"ONE"})
	if _, err := task.Say(protocol.Status{Status: protocol.Processing, Phase: protocol.Running}); err != nil {
		t.Fatal(err)
	}
	start := journal.StartRecord{Step: "flash", Attempt: 1, Argv: cmd.Argv, Dir: "steps/0/01-flash"}
	if err := task.PutStart(start); err != nil {
		t.Fatal(err)
	}
	if err := step.Prepare(filepath.Join(task.Dir(), start.Dir), step.Spec{Argv: cmd.Argv}); err != nil {
		t.Fatal(err)
	}
	b.halt()
	b.run()
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "")
	if verdict.Message != "attempt 1" || verdict.Attempts != 1 {
		t.Errorf("verdict is %q after %d attempts", verdict.Message, verdict.Attempts)
	}
	b.wantCount("flash", 1)
}

func TestWhatAnExecutorReturnsWhileTheAgentStopsIsThrownAway(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func() (executors.Result, error){
		"success": func() (executors.Result, error) { return executors.Result{Message: "all is well"}, nil },
		"failure": func() (executors.Result, error) {
			return executors.Result{}, executors.Fail(protocol.ToolTimeout, "no answer")
		},
		"a crash": func() (executors.Result, error) { panic("stopping") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, map[string]executors.Executor{})
			calls := 0
			b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
				calls++
				// An executor that does not tell why its step ended.
				if _, err := host.Command(ctx, b.command("slow", "gate")); err != nil {
					return end()
				}
				return executors.Result{Message: "done"}, nil
			}}
			b.run()
			b.submit("t1", "ONE")
			b.begun("slow", 1)
			b.restart()
			b.openGate("slow")
			wantVerdict(t, b.verdict("t1"), protocol.Success, "", "done")
			b.wantCount("slow", 1)
			if calls != 2 {
				t.Errorf("Execute was called %d times, want 2", calls)
			}
		})
	}
}

func TestAMemoReadWhileTheAgentStopsIsReadAgain(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	reading := make(chan struct{}, 1)
	reads := 0
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		cards, err := executors.Memo(ctx, host, "cards", func(ctx context.Context) (int, error) {
			if reads++; reads > 1 {
				return 8, nil
			}
			reading <- struct{}{}
			<-ctx.Done()
			return 0, nil // as if the tool had found none
		})
		return executors.Result{Message: fmt.Sprintf("%d cards", cards)}, err
	}}
	b.run()
	b.submit("t1", "ONE")
	<-reading
	b.restart()
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", "8 cards")
}

func TestAMemoThatIsNotJSONFailsItsTaskOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["ONE"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := host.Memo(ctx, "odd", func(context.Context) (json.RawMessage, error) { return json.RawMessage("{"), nil })
		return executors.Result{}, err
	}}
	b.types["BIG"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := executors.Memo(ctx, host, "big", func(context.Context) ([]byte, error) { return make([]byte, 1<<20), nil })
		return executors.Result{}, err
	}}
	b.types["NAME"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := executors.Memo(ctx, host, "engine/result", func(context.Context) (string, error) { return "mine", nil })
		return executors.Result{}, err
	}}
	b.types["TWO"] = script{execute: b.steps()}
	b.run()
	for _, name := range []string{"ONE", "BIG", "NAME"} {
		b.submit("bad-"+name, name)
		wantVerdict(t, b.verdict("bad-"+name), protocol.Failed, protocol.ExecutorFailed, "memo")
	}
	b.submit("t2", "TWO")
	wantVerdict(t, b.verdict("t2"), protocol.Success, "")
}

func TestATaskSubmittedTwiceRunsOnce(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	calls := 0
	b.types["ONE"] = script{shared: true, execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		calls++
		return b.steps(b.command("slow", "gate"))(ctx, host)
	}}
	b.run()
	task := b.submit("t1", "ONE")
	b.engine.Submit(task)
	b.begun("slow", 1)
	b.engine.Submit(task)
	if state := b.queue.State(); len(state.Running)+len(state.Waiting) != 1 {
		t.Errorf("the task has more than one place in the queue: %+v", state)
	}
	b.openGate("slow")
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
	wait.For(b.t, "the run is over", func() bool { return len(b.queue.State().Running) == 0 })
	b.engine.Submit(task)
	b.halt()
	if calls != 1 {
		t.Errorf("Execute was called %d times", calls)
	}
}
