package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"devserver-agent/agent/engine"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/queue"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// machine is a host that is asked to restart.
type machine struct {
	ask       func() error
	obstacle  func(ctx context.Context, tell func(string)) error // nil: none
	down      atomic.Bool                                        // it is on its way
	calledOff atomic.Bool
}

func (m *machine) Ask(context.Context, *journal.Task) error { return m.ask() }
func (m *machine) GoingDown(context.Context) bool           { return m.down.Load() }
func (m *machine) CallOff(context.Context) error            { m.calledOff.Store(true); return nil }
func (m *machine) Clear(ctx context.Context, tell func(string)) error {
	if m.obstacle == nil {
		return nil
	}
	return m.obstacle(ctx, tell)
}

// asking is a bed whose hosts can be restarted; asked gets a value each time
// one is asked to.
func asking(t *testing.T) (b *bed, asked chan string) {
	t.Helper()
	b, asked = newBed(t, map[string]executors.Executor{}), make(chan string, 16)
	b.change = func(o *engine.Options) {
		o.Power = &machine{ask: func() error { asked <- o.Boot; return nil }}
	}
	return b, asked
}

// reboot waits until the host is asked to restart and does it.
func (b *bed) reboot(asked <-chan string) {
	b.t.Helper()
	select {
	case <-asked:
	case <-time.After(wait.Patience):
		b.t.Fatal("the host was not asked to restart")
	}
	b.halt()
	b.boot += "+"
	b.run()
}

func withRestart(a *journal.AcceptRecord) { a.Task.IsReboot = true }

func (b *bed) submitRestart(id string, types ...string) *journal.Task {
	b.t.Helper()
	t := b.admit(id, types, withRestart)
	b.engine.Submit(t)
	return t
}

// twice works, and verifies after the restart.
type twice struct {
	script
	verify func(context.Context, executors.Host) (executors.Result, error)
}

func (v twice) Verify(ctx context.Context, host executors.Host, _ executors.Spec) (executors.Result, error) {
	return v.verify(ctx, host)
}

func phases(t *journal.Task) (all []protocol.Phase) {
	for _, s := range t.Statuses() {
		all = append(all, s.Status.Phase)
	}
	return all
}

func TestTheHostIsRestartedAfterAllItemsAndThenVerified(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	work := b.steps(b.command("install", "ok"))
	b.types["WORK"] = twice{script{execute: work}, func(context.Context, executors.Host) (executors.Result, error) {
		return executors.Result{Message: "verified in " + b.boot}, nil
	}}
	b.run()
	b.submitRestart("t1", "WORK")
	b.reboot(asked)
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, "", "verified in boot-1+")
	b.wantCount("install", 1)
	want := []protocol.Phase{protocol.Accepted, protocol.Running, protocol.Rebooting, protocol.Verifying, protocol.Done}
	if got := phases(b.store.Open("t1")); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("phases are %v, want %v", got, want)
	}
	if len(asked) > 0 {
		t.Error("the host was asked again after its restart")
	}
}

func TestTheHostTellsAnExecutorItsBoot(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	boot := func(ctx context.Context, host executors.Host) (string, error) {
		return executors.Memo(ctx, host, "boot", func(context.Context) (string, error) { return host.Boot(), nil })
	}
	b.types["WORK"] = twice{script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		_, err := boot(ctx, host)
		return executors.Result{}, err
	}}, func(ctx context.Context, host executors.Host) (executors.Result, error) {
		before, err := boot(ctx, host)
		return executors.Result{Message: fmt.Sprintf("from %s to %s", before, host.Boot())}, err
	}}
	b.run()
	b.submitRestart("t1", "WORK")
	b.reboot(asked)
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", "from boot-1 to boot-1+")
}

func TestARestartIsAskedForAgainByTheNextAgentOfTheSameBoot(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	b.types["WORK"] = script{execute: b.steps(b.command("install", "ok"))}
	b.run()
	b.submitRestart("t1", "WORK")
	if boot := <-asked; boot != "boot-1" {
		t.Fatalf("asked in %s", boot)
	}
	b.restart() // the agent, not the host
	b.reboot(asked)
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
	if n := len(b.store.Open("t1").Restarts()); n != 1 {
		t.Errorf("%d restarts are recorded, want 1", n)
	}
}

// A host whose boot does not change, as by a file of its boot id that is none,
// must not be restarted for ever.
func TestARestartThatLeadsNowhereIsGivenUp(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	b.types["WORK"] = script{execute: b.steps(b.command("install", "ok"))}
	b.run()
	b.submitRestart("t1", "WORK")
	for range 5 {
		<-asked
		b.restart()
	}
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.RebootFailed, "asked to restart 5 times", "boot-1", "install (done)")
	if len(asked) > 0 {
		t.Error("the host is asked once more")
	}
	b.wantCount("install", 1)
}

func TestThereIsNoRestart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		execute func(*bed) func(context.Context, executors.Host) (executors.Result, error)
		state   protocol.State
		code    protocol.Code
	}{
		"after an item that failed": {func(b *bed) func(context.Context, executors.Host) (executors.Result, error) {
			return func(context.Context, executors.Host) (executors.Result, error) {
				return executors.Result{}, executors.Fail(protocol.StepFailed, "it did not work")
			}
		}, protocol.Failed, protocol.StepFailed},
		"where nothing had to be done": {func(b *bed) func(context.Context, executors.Host) (executors.Result, error) {
			return func(context.Context, executors.Host) (executors.Result, error) {
				return executors.Result{Message: "as it should be", Unchanged: true}, nil
			}
		}, protocol.Success, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, asked := asking(t)
			b.types["WORK"] = script{execute: test.execute(b)}
			b.run()
			b.submitRestart("t1", "WORK")
			wantVerdict(t, b.verdict("t1"), test.state, test.code)
			if len(asked) > 0 {
				t.Error("the host was asked to restart")
			}
		})
	}
}

func TestAnItemRestartsTheHostInItsMiddle(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	driver, firmware := b.command("driver", "ok"), b.command("firmware", "ok")
	b.types["WORK"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		if _, err := host.Command(ctx, driver); err != nil {
			return executors.Result{}, err
		}
		if err := host.Restart(ctx, "driver"); err != nil {
			return executors.Result{}, err
		}
		if _, err := host.Command(ctx, firmware); err != nil {
			return executors.Result{}, err
		}
		return executors.Result{Message: "done"}, host.Restart(ctx, "firmware")
	}}
	b.run()
	b.submitRestart("t1", "WORK")
	b.reboot(asked)
	b.reboot(asked)
	wantVerdict(t, b.verdict("t1"), protocol.Success, "", "done")
	b.wantCount("driver", 1)
	b.wantCount("firmware", 1)
	if len(asked) > 0 {
		t.Error("the host was restarted once more although nothing was done since")
	}
}

func TestAHostIsNotRestartedMoreThanThreeTimesForOneTask(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	b.types["WORK"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		for n := range 4 {
			if err := host.Restart(ctx, fmt.Sprint(n)); err != nil {
				return executors.Result{}, err
			}
		}
		return executors.Result{}, errors.New("a fourth restart was allowed")
	}}
	b.run()
	b.submitRestart("t1", "WORK")
	for range 3 {
		b.reboot(asked)
	}
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.RebootLimit, "restarted 3 times")
}

func TestATaskWithoutIsRebootRestartsNothing(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	b.types["WORK"] = script{execute: func(ctx context.Context, host executors.Host) (executors.Result, error) {
		if err := host.Restart(ctx, "now"); !errors.Is(err, executors.ErrNoRestart) {
			return executors.Result{}, fmt.Errorf("restart answered %w", err)
		}
		return executors.Result{Message: "pending", RebootRequired: true, Code: protocol.RebootRequired}, nil
	}}
	b.run()
	b.submit("t1", "WORK")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Success, protocol.RebootRequired)
	if !verdict.RebootRequired || len(asked) > 0 {
		t.Errorf("reboot_required is %v, asked %d times", verdict.RebootRequired, len(asked))
	}
}

func TestAHeldHostIsNotRestartedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	b.types["WORK"] = script{execute: b.steps(b.command("install", "gate"))}
	b.run()
	b.submitRestart("t1", "WORK")
	b.begun("install", 1)
	b.queue.Hold(true)
	b.openGate("install")
	wait.For(b.t, "the item has ended", func() bool { _, ok := b.store.Open("t1").Memo(0, "engine/result"); return ok })
	if len(asked) > 0 {
		t.Fatal("a held host was asked to restart")
	}
	b.queue.Hold(false)
	b.reboot(asked)
	wantVerdict(t, b.verdict("t1"), protocol.Success, "")
}

func TestACancelKeepsAHostFromItsRestart(t *testing.T) {
	t.Parallel()
	b, asked := asking(t)
	b.types["WORK"] = script{execute: b.steps(b.command("install", "gate"))}
	b.run()
	task := b.submitRestart("t1", "WORK")
	b.begun("install", 1)
	b.queue.Hold(true) // it waits before its restart
	b.openGate("install")
	wait.For(b.t, "the item has ended", func() bool { _, ok := task.Memo(0, "engine/result"); return ok })
	b.cancel(task)
	wantVerdict(t, b.verdict("t1"), protocol.Deleted, protocol.TaskCancelled, "install (done)")
	if len(asked) > 0 {
		t.Error("the host was asked to restart after the cancel")
	}
}

func TestARestartThatIsRefusedSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.change = func(o *engine.Options) {
		o.Power = &machine{ask: func() error { return errors.New("the bus is gone") }}
	}
	b.types["WORK"] = script{execute: b.steps(b.command("install", "ok"))}
	b.run()
	b.submitRestart("t1", "WORK")
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.RebootFailed, "the bus is gone", "install (done)")
}

// What stands against a restart is told, and nothing is asked before it is gone.
func TestARestartWaitsForWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after error
		code  protocol.Code
	}{
		"it goes away": {nil, ""},
		"it stays":     {errors.New("for 30m0s dpkg was in the way"), protocol.RebootFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, asked := asking(t)
			gone := make(chan struct{})
			b.change = func(o *engine.Options) {
				o.Power = &machine{
					ask: func() error { asked <- o.Boot; return nil },
					obstacle: func(ctx context.Context, tell func(string)) error {
						tell("dpkg (process 7) changes packages")
						<-gone
						return c.after
					},
				}
			}
			b.types["WORK"] = script{execute: b.steps(b.command("install", "ok"))}
			b.run()
			task := b.submitRestart("t1", "WORK")
			wait.For(b.t, "the obstacle is told", func() bool { return strings.Contains(task.Latest().Message, "dpkg (process 7)") })
			if len(asked) > 0 || len(task.Restarts()) > 0 {
				t.Error("the host was asked all the same")
			}
			close(gone)
			if c.after == nil {
				b.reboot(asked)
				wantVerdict(t, b.verdict("t1"), protocol.Success, "")
				return
			}
			wantVerdict(t, b.verdict("t1"), protocol.Failed, c.code, "dpkg was in the way", "install (done)")
		})
	}
}

func TestReleasedReturnsWhenTheHoldIsLifted(t *testing.T) {
	q := &queue.Queue{}
	if err := q.Released(context.Background()); err != nil {
		t.Fatal(err)
	}
	q.Hold(true)
	q.Hold(true)
	waited := make(chan error, 1)
	go func() { waited <- q.Released(context.Background()) }()
	q.Hold(false)
	q.Hold(false)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	q.Hold(true)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(executors.ErrCancelled)
	if err := q.Released(ctx); !errors.Is(err, executors.ErrCancelled) {
		t.Errorf("error is %v", err)
	}
}
