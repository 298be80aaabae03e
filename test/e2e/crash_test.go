package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"devserver-agent/agent/failpoint"
	"devserver-agent/protocol"
)

func TestCrash01BeforeAcceptTheMailboxStillHasTheTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.BeforeAccept)
	r.give("task-1", "a:ok")
	r.dies()
	if _, err := os.Stat(filepath.Join(r.stateDir(), "tasks", "task-1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something of the task is on disk: %v", err)
	}
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1})
}

func TestCrash02AcceptedAndNotSentIsSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.Accepted)
	r.give("task-1", "a:ok")
	r.dies()
	if said := r.of("task-1"); len(said) > 0 {
		t.Errorf("the broker has %v", brief(said))
	}
	r.empty(protocol.MailboxStream) // the journal alone must do
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1})
}

func TestCrash03APreparedStepThatNeverStartedIsAbandoned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.StepPrepared)
	r.give("task-1", "a:ok", "b:gate")
	r.dies()
	r.wantStarts(map[string]int{})
	r.start()
	r.awaitProgram("b")
	steps := filepath.Join(r.stateDir(), "tasks", "task-1", "steps", "0")
	if _, err := os.Stat(filepath.Join(steps, "01-a", "abandoned")); err != nil {
		t.Errorf("the first attempt was not abandoned: %v", err)
	}
	// A shim that comes late, for an attempt that was given up or that has ended,
	// starts nothing.
	for _, attempt := range []string{"01-a", "02-a"} {
		if out, err := exec.Command(r.binary, "step", filepath.Join(steps, attempt)).CombinedOutput(); err != nil {
			t.Errorf("shim of %s: %v\n%s", attempt, err, out)
		}
	}
	r.open("b")
	if v := r.ends("task-1", protocol.Success, ""); v.Attempts != 1 {
		t.Errorf("the verdict counts %d attempts, one was started", v.Attempts)
	}
	r.wantStarts(map[string]int{"a": 1, "b": 1})
}

func TestCrash04ARunningStepIsAttachedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.StepStarted)
	r.give("task-1", "a:gate", "b:ok")
	r.dies()
	program := r.awaitProgram("a")
	r.start()
	r.accepted("task-1")
	if again := r.awaitProgram("a"); again.pid != program.pid {
		t.Errorf("process %d runs the step, %d had begun it", again.pid, program.pid)
	}
	r.open("a")
	if v := r.ends("task-1", protocol.Success, ""); v.Attempts != 1 {
		t.Errorf("the verdict counts %d attempts", v.Attempts)
	}
	r.wantStarts(map[string]int{"a": 1, "b": 1})
}

func TestCrash05AnEndThatWasNotRecordedIsCollected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.StepEnded)
	r.give("task-1", "a:ok", "b:ok")
	r.dies()
	r.wantStarts(map[string]int{"a": 1})
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1, "b": 1})
}

func TestCrash08AVerdictOnDiskIsSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.Verdict)
	r.give("task-1", "a:gate")
	r.awaitProgram("a")
	r.net.become(down)
	r.open("a")
	r.dies()
	if v := r.verdict("task-1"); v != nil {
		t.Errorf("the broker has the verdict: %+v", v)
	}
	r.net.become(fair)
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1})
}

func TestCrash09AStatusThatWasSentAndNotAcknowledgedIsDeduplicated(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 3; n++ { // accepted, running, verdict
		t.Run(fmt.Sprintf("status %d", n), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.start(fmt.Sprintf("%s:%d", failpoint.StatusSent, n))
			r.give("task-1", "a:ok")
			r.dies()
			if said := r.of("task-1"); len(said) != n {
				t.Errorf("the broker has %v", brief(said))
			}
			r.start()
			r.ends("task-1", protocol.Success, "")
			if said := r.of("task-1"); len(said) != 3 {
				t.Errorf("the broker has %v, want each once", brief(said))
			}
			r.wantStarts(map[string]int{"a": 1})
		})
	}
}

func TestCrash10AProgramCutInTheMiddle(t *testing.T) {
	t.Parallel()
	t.Run("is started again if the executor wants it, and the verdict names it", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.give("task-1", "a:gate", "b:ok", "policy=retry")
		r.awaitProgram("a")
		r.powerCycle()
		r.open("a")
		r.start()
		v := r.ends("task-1", protocol.Success, "")
		if v.Attempts != 2 || allowedStarts(v, "a") != 2 {
			t.Errorf("the verdict says %d attempts: %s", v.Attempts, v.Message)
		}
		r.wantStarts(map[string]int{"a": 2, "b": 1})
	})
	t.Run("is not started again if the executor gives up", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.give("task-1", "a:gate", "b:ok", "policy=give-up")
		r.awaitProgram("a")
		r.powerCycle()
		r.start()
		r.ends("task-1", protocol.Failed, protocol.StepInterrupted)
		r.wantStarts(map[string]int{"a": 1})
	})
}

func TestCrash11AWipedStateDirectoryIsAnotherHost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.give("task-1", "a:gate", "b:ok")
	r.awaitProgram("a")
	r.accepted("task-1")
	r.kill()
	if err := os.RemoveAll(r.stateDir()); err != nil {
		t.Fatal(err)
	}
	r.deliver() // it says by now who accepted the task
	r.start()
	v := r.ends("task-1", protocol.Failed, protocol.HostReplaced)
	if v.InstallationID == r.box.AcceptedBy["task-1"] {
		t.Error("the verdict is the former installation's")
	}
	r.wantStarts(map[string]int{"a": 1})
}

func TestCrash12NothingComesBack(t *testing.T) {
	t.Parallel()
	t.Run("from an older mailbox after a newer one", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.give("task-1", "a:ok")
		older := r.copy()
		r.ends("task-1", protocol.Success, "")
		r.box.Statements = nil
		r.give("task-2", "b:ok")
		r.ends("task-2", protocol.Success, "")
		r.push(older)
		r.kill()
		r.start()
		r.store(older) // as if a broker had been restored
		r.give("task-3", "c:ok")
		r.ends("task-3", protocol.Success, "")
		r.wantStarts(map[string]int{"a": 1, "b": 1, "c": 1})
	})
	t.Run("from a task after its cancel", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.list(r.cancel("task-1"))
		r.deliver()
		r.ends("task-1", protocol.Deleted, protocol.TaskCancelled)
		r.give("task-1", "a:ok")
		r.kill()
		r.start()
		r.give("task-2", "b:ok")
		r.ends("task-2", protocol.Success, "")
		r.ends("task-1", protocol.Deleted, protocol.TaskCancelled)
		r.wantStarts(map[string]int{"b": 1})
	})
	t.Run("from a task that comes with its cancel", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.list(r.task("task-1", r.trial("a:ok")), r.cancel("task-1"))
		r.deliver()
		r.ends("task-1", protocol.Deleted, protocol.TaskCancelled)
		r.wantStarts(map[string]int{})
	})
}
