package engine_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestAStuckProgramKeepsTheHostClosedToExclusiveWork(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	flash := b.command("flash", "gate")
	flash.Kill, flash.Timeout = executors.KillNever, 100*time.Millisecond
	b.types["FLASH"] = script{execute: b.steps(flash, b.command("after", "ok"))}
	b.types["EXCLUSIVE"] = script{execute: b.steps(b.command("exclusive", "ok"))}
	b.types["SHARED"] = script{shared: true, execute: b.steps(b.command("shared", "ok"))}
	b.run()
	b.submit("t1", "FLASH")
	b.submit("waits", "EXCLUSIVE")
	verdict := b.verdict("t1")
	wantVerdict(t, verdict, protocol.Failed, protocol.StepStuck, "flash", "still running, not killed", "closed to exclusive work")
	if verdict.Step != "flash" {
		t.Errorf("verdict speaks of step %q", verdict.Step)
	}
	b.submit("t2", "SHARED")
	wantVerdict(t, b.verdict("t2"), protocol.Success, "")
	b.begun("flash", 1) // it has no time, and counts as stuck also before it has begun
	for _, id := range []string{"t3", "t4"} {
		b.restart()
		if state := b.queue.State(); !state.Occupied {
			t.Errorf("right after a restart the host is open: %+v", state)
		}
		b.submit(id, "SHARED")
		wantVerdict(t, b.verdict(id), protocol.Success, "")
	}
	task := b.store.Open("t1")
	if err := b.store.Finish(task); err == nil {
		t.Error("the task was closed while its program runs")
	}
	b.wantCount("exclusive", 0)
	b.openGate("flash")
	wantVerdict(t, b.verdict("waits"), protocol.Success, "")
	b.wantCount("flash", 1)
	b.wantCount("after", 0)
	if end := task.Attempts(0, "flash")[0].End; end.Outcome != journal.Exited {
		t.Errorf("the end of the program is recorded as %s", end.Outcome)
	}
	if got := b.store.Open("t1").Latest(); got.Code != protocol.StepStuck {
		t.Errorf("the verdict became %s", got.Code)
	}
}

func TestAProgramThatMayNotBeKilledIsOnlyAsked(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	cmd := b.command("polite", "deaf-gate")
	cmd.Kill = executors.KillTermOnly
	b.types["ONE"] = script{execute: b.steps(cmd)}
	b.run()
	task := b.submit("t1", "ONE")
	b.begun("polite", 1)
	b.cancel(task)
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.StepStuck, "polite")
	wait.For(b.t, "the host is closed", func() bool { return b.queue.State().Occupied })
	b.openGate("polite")
	wait.For(b.t, "the host is open", func() bool { return !b.queue.State().Occupied })
}

func TestACancelledTaskIsStuckAtItsDeadline(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	flash := b.command("flash", "gate")
	flash.Kill = executors.KillNever // and no timeout of its own
	b.types["FLASH"] = script{execute: b.steps(flash), timeout: 2 * time.Second}
	b.run()
	task := b.submit("t1", "FLASH")
	b.begun("flash", 1)
	b.cancel(task)
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.StepStuck)
	b.openGate("flash")
	wait.For(b.t, "the host is open", func() bool { return !b.queue.State().Occupied })
}

func damage(t *testing.T, task *journal.Task) {
	t.Helper()
	path := filepath.Join(task.Dir(), "log")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0x20
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedTaskEndsWithTheStateOfTheHost(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	flash := b.command("flash", "gate")
	flash.Kill = executors.KillNever
	b.types["FLASH"] = script{execute: b.steps(b.command("first", "ok"), flash)}
	b.types["EXCLUSIVE"] = script{execute: b.steps(b.command("exclusive", "ok"))}
	b.change = withSurvey("driver 24.1 runs")
	b.run()
	task := b.submit("t1", "FLASH")
	b.begun("flash", 1)
	b.halt()
	damage(t, task)
	b.run()
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.JournalDamaged,
		"record of this task is damaged", "Step flash of it is still running", "The host now: driver 24.1 runs")
	b.submit("waits", "EXCLUSIVE")
	b.restart()
	if !b.queue.State().Occupied {
		t.Error("the host is open while a program of a damaged task runs")
	}
	b.openGate("flash")
	wantVerdict(t, b.verdict("waits"), protocol.Success, "")
	b.wantCount("first", 1)
	b.wantCount("flash", 1)
}

func TestATaskOfAnotherInstallationStartsNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t, map[string]executors.Executor{})
	b.types["HOLDS"] = script{execute: b.steps(b.command("holds", "gate"))}
	b.types["ONE"] = script{execute: b.steps(b.command("never", "ok"))}
	b.change = withSurvey("driver 24.1 runs")
	b.run()
	b.submit("t0", "HOLDS")
	b.begun("holds", 1)
	b.engine.Submit(b.admit("t1", []string{"ONE"}, func(a *journal.AcceptRecord) { a.Replaced = "other" }))
	b.engine.Submit(b.admit("t2", []string{"ONE"}, func(a *journal.AcceptRecord) { a.Replaced = b.store.Installation().ID }))
	wait.For(b.t, "they wait until the host may be looked at", func() bool { return len(b.queue.State().Waiting) == 2 })
	b.openGate("holds")
	wantVerdict(t, b.verdict("t1"), protocol.Failed, protocol.HostReplaced, "another installation of the agent (other)", "The host now: driver 24.1 runs")
	wantVerdict(t, b.verdict("t2"), protocol.Failed, protocol.JournalDamaged, "its record of it is gone", "The host now: driver 24.1 runs")
	b.wantCount("never", 0)
}
