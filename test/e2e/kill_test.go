package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/agent"
	"devserver-agent/agent/failpoint"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func TestCrashOfTheShim(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		point string
		want  map[string]int
	}{
		{"after it noted its start and before it executed", failpoint.ShimStarted, map[string]int{"a": 1, "b": 1}},
		{"after its program ended and before it noted that", failpoint.ShimEnded, map[string]int{"a": 2, "b": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.arm("step", c.point)
			r.start()
			r.give("task-1", "a:ok", "b:ok")
			if v := r.ends("task-1", protocol.Success, ""); v.Attempts != 2 || allowedStarts(v, "a") != 2 {
				t.Errorf("the verdict says %d attempts: %s", v.Attempts, v.Message)
			}
			r.wantStarts(c.want)
		})
	}
	t.Run("while its program runs on", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.give("task-1", "a:gate", "policy=give-up")
		r.awaitProgram("a")
		for _, shim := range r.shims() {
			shim.kill()
		}
		r.open("a")
		// The task has not ended before its program has.
		r.ends("task-1", protocol.Failed, protocol.StepInterrupted)
		if left := r.programs(); len(left) > 0 {
			t.Errorf("the verdict was given while %+v ran", left)
		}
		r.wantStarts(map[string]int{"a": 1})
	})
	t.Run("and of its program and of the agent", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		r.give("task-1", "a:gate", "b:ok")
		r.awaitProgram("a")
		r.kill()
		r.sweep()
		r.open("a")
		r.start() // in the same boot
		if v := r.ends("task-1", protocol.Success, ""); v.Attempts != 2 {
			t.Errorf("the verdict says %d attempts: %s", v.Attempts, v.Message)
		}
		r.wantStarts(map[string]int{"a": 2, "b": 1})
	})
}

func TestCrashOfAProgramIsItsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.give("task-1", "a:gate", "b:ok")
	r.awaitProgram("a").kill()
	v := r.ends("task-1", protocol.Failed, protocol.StepFailed)
	if !strings.Contains(v.Message, "137") {
		t.Errorf("the message does not say how it ended: %s", v.Message)
	}
	r.wantStarts(map[string]int{"a": 1})
}

func TestCrashWhileAProgramWritesLosesNoOutput(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"", failpoint.OutputSent, failpoint.OutputSent + ":40"} {
		t.Run("at "+point, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.start(point)
			const bytes = 8 << 20
			r.give("task-1", "a:slow:300", fmt.Sprintf("b:chatty:%d", bytes), "c:ok")
			if point == "" {
				wait.Until(t, "some output has arrived", func() error {
					if len(r.chunks()) < 5 {
						return fmt.Errorf("%d chunks", len(r.chunks()))
					}
					return nil
				})
				r.kill()
			} else {
				r.dies()
			}
			r.start()
			if v := r.ends("task-1", protocol.Success, ""); v.Items[0].Bytes < bytes {
				t.Errorf("the verdict says %d bytes", v.Items[0].Bytes)
			}
			r.wantStarts(map[string]int{"a": 1, "b": 1, "c": 1})
		})
	}
}

func TestCrashAfterAMemoWasReadReadsItAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.MemoRead)
	r.give("task-1", "a:ok")
	r.dies()
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1})
}

func TestCrashBeforeACancelIsObeyed(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"gate", "deaf-gate"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.start(failpoint.CancelPending)
			r.give("task-1", "a:"+kind, "b:ok")
			r.awaitProgram("a")
			r.list(r.cancel("task-1"))
			r.deliver()
			r.dies()
			r.empty(protocol.MailboxStream) // the journal has it
			r.start()
			r.ends("task-1", protocol.Deleted, protocol.TaskCancelled)
			r.wantStarts(map[string]int{"a": 1})
			if left := r.running(); len(left) > 0 {
				t.Errorf("after the verdict these run: %+v", left)
			}
		})
	}
}

// A program that must not be killed keeps the host from exclusive work, also
// from that of the next agent.
func TestCrashBesideAStuckProgramKeepsTheHostClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	task := r.task("task-1", r.trial("a:stubborn-gate"))
	task.TimeoutSeconds = 1
	r.list(task)
	r.give("task-2", "b:ok")
	wait.Until(t, "task-1 is stuck", func() error {
		if v := r.verdict("task-1"); v == nil || v.Code != protocol.StepStuck {
			return fmt.Errorf("its verdict is %+v", v)
		}
		return nil
	})
	for n := range 3 {
		r.kill()
		r.start()
		id := fmt.Sprintf("shared-%d", n) // this may run beside it
		r.give(id, "shared", id+":ok")
		r.ends(id, protocol.Success, "")
		if r.started()["b"] > 0 {
			t.Fatal("exclusive work began beside the stuck program")
		}
	}
	r.open("a")
	r.ends("task-2", protocol.Success, "")
	r.ends("task-1", protocol.Failed, protocol.StepStuck)
	r.wantStarts(map[string]int{"a": 1, "b": 1, "shared-0": 1, "shared-1": 1, "shared-2": 1})
}

// What a stuck program writes after the verdict is not lost.
func TestCrashBesideAStuckProgramLosesNoOutput(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	script := r.path("late.sh")
	text := "#!/bin/sh\necho begun\nuntil [ -e " + r.gate("a") + " ]; do sleep 0.05; done\nseq 200000\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	r.start()
	task := r.task("task-1", r.trial("a:stubborn:1", "program="+script))
	task.TimeoutSeconds = 1
	r.list(task)
	r.deliver()
	wait.Until(t, "the step is stuck", func() error {
		if r.verdict("task-1") == nil {
			return errors.New("there is no verdict")
		}
		return nil
	})
	r.open("a")
	r.ends("task-1", protocol.Failed, protocol.StepStuck)
	file, err := os.ReadFile(filepath.Join(r.stateDir(), "tasks", "task-1", "output", "0"))
	if err != nil || !strings.Contains(string(file), "200000\n") {
		t.Fatalf("the file has %d bytes: %v", len(file), err)
	}
}

func TestCrashWithTheStateWipedUnderTheAgent(t *testing.T) {
	t.Parallel()
	for how, stops := range map[string]func(*rig){
		"which is killed": func(r *rig) { r.kill() },
		// The next start makes another state directory, and may not know of programs that run:
		// somebody has to look first.
		"which ends by itself": func(r *rig) {
			r.open("a")
			if status := r.exits(); status != agent.ExitConfig {
				r.t.Errorf("it ended with exit status %d, after which systemd restarts it", status)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.start()
			r.give("task-1", "a:gate", "b:ok")
			r.awaitProgram("a")
			r.accepted("task-1")
			former := r.of("task-1")[0].InstallationID
			wait.Until(t, "the state directory is gone", func() error { return os.RemoveAll(r.stateDir()) })
			r.deliver()
			stops(r)
			r.start()
			r.give("task-2", "c:ok")
			r.ends("task-2", protocol.Success, "")
			wait.Until(t, "the new installation says what it knows of the task", func() error {
				for _, s := range r.of("task-1") {
					if s.InstallationID != former && s.Code == protocol.HostReplaced {
						return nil
					}
				}
				return fmt.Errorf("its statuses are %v", brief(r.of("task-1")))
			})
			r.wantStarts(map[string]int{"a": 1, "c": 1})
		})
	}
}
