package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

func TestAnAcceptedTaskIsThereAfterACrash(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	want := order(t, "task-1")
	accepted, err := s.Admit(want)
	must(t, err)
	task := crash(t, s).Open("task-1")
	want.Accept.Order = accepted.Accepted().Order
	if diff := cmp.Diff(want.Accept, task.Accepted()); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(accepted.Statuses(), task.Statuses()); diff != "" {
		t.Errorf("statuses (-before +after the crash):\n%s", diff)
	}
	envelope, err := task.Envelope()
	must(t, err)
	if diff := cmp.Diff(want.Envelope, envelope); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
}

func TestTasksComeBackInTheOrderTheyWereAccepted(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprint("task-", 9-i))
		admit(t, s, want[i])
	}
	s = crash(t, s)
	want = append(want, "task-1")
	admit(t, s, "task-1")
	var got []string
	for _, task := range crash(t, s).AllOpen() {
		got = append(got, task.ID())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// A task that ended before a restart and is brought back after it was accepted before
// those that came in between.
func TestATaskThatIsBroughtBackKeepsItsPlace(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	for _, id := range []string{"first", "second"} {
		finish(t, s, admit(t, s, id))
	}
	s = crash(t, s)
	admit(t, s, "third")
	for _, id := range []string{"second", "first"} {
		must(t, s.Repeat(id))
	}
	var got []string
	for _, task := range s.AllOpen() {
		got = append(got, task.ID())
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// A second admission must change nothing of the first one: not its folder and
// not the mark that brings it back after a restart.
func TestAKnownTaskIsNotAdmittedAgain(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	finish(t, s, admit(t, s, "finished"))
	say(t, admit(t, s, "running"), protocol.Processing, protocol.Running)
	for _, id := range []string{"finished", "running"} {
		before := string(get(t, logOf(s, id)))
		if _, err := s.Admit(order(t, id)); err == nil {
			t.Errorf("task %s was admitted twice", id)
		}
		if diff := cmp.Diff(before, string(get(t, logOf(s, id)))); diff != "" {
			t.Errorf("log of %s changed:\n%s", id, diff)
		}
	}
	s = crash(t, s)
	if task := s.Open("running"); task == nil || task.Latest().Phase != protocol.Running {
		t.Error("the running task did not come back after the restart")
	}
	if s.Open("finished") != nil {
		t.Error("the finished task came back after the restart")
	}
}

// Somebody deleted a task, and what was still at work for it made itself a folder.
func TestAFolderWithNothingThatWasAdmittedIsNoTask(t *testing.T) {
	t.Parallel()
	for name, marked := range map[string]bool{"without its mark": false, "with its mark": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, options(t.TempDir()))
			must(t, os.MkdirAll(filepath.Join(s.folder("task-1"), "scratch", "0"), 0o700))
			if marked {
				put(t, s.mark("task-1"), nil)
			}
			if _, err := ReadTask(s.Dir(), "task-1"); !errors.Is(err, ErrUnknown) {
				t.Errorf("ReadTask gave %v, want ErrUnknown", err)
			}
			if err := s.Reopen("task-1"); !errors.Is(err, ErrUnknown) {
				t.Errorf("Reopen gave %v, want ErrUnknown", err)
			}
			s = crash(t, s)
			if s.Open("task-1") != nil {
				t.Error("it is open")
			}
			admit(t, s, "task-1")
			s = crash(t, s)
			if task := s.Open("task-1"); task == nil || task.Damage() != nil {
				t.Errorf("the task of that name is %v after the restart", task)
			}
			if _, err := os.Stat(filepath.Join(s.folder("task-1"), "scratch")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("what was there before is still there: %v", err)
			}
		})
	}
}

func TestOneOfManyAdmissionsOfATaskWins(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	a := order(t, "task-1")
	var wg sync.WaitGroup
	won := make(chan *Task, 8)
	for range 8 {
		wg.Go(func() {
			if task, err := s.Admit(a); err == nil {
				won <- task
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d admissions of one task succeeded", len(won))
	}
	if s.Open("task-1") != <-won {
		t.Error("the open task is not the one that was admitted")
	}
	if crash(t, s).Open("task-1") == nil {
		t.Error("the task is gone after a restart")
	}
}

func TestIDsThatAreNoFolderNamesAreRefused(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	a := order(t, "task-1")
	for _, id := range []string{"", ".", "..", "../x", "a/b", "a b", ">"} {
		a.ID = id
		if _, err := s.Admit(a); err == nil {
			t.Errorf("task %q was admitted", id)
		}
		if err := s.Reopen(id); !errors.Is(err, ErrUnknown) {
			t.Errorf("Reopen(%q) gave %v, want ErrUnknown", id, err)
		}
	}
}

func TestWhatAnAdmissionLeftHalfWayIsClearedAtTheNextStart(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	a := order(t, "task-1")
	must(t, os.WriteFile(s.mark("task-1"), nil, 0o600))
	must(t, s.buildFolder(filepath.Join(s.temp(), a.ID), a))
	s = crash(t, s)
	if s.Open("task-1") != nil {
		t.Error("a task that was never put in place is open")
	}
	if _, err := ReadTask(s.Dir(), "task-1"); !errors.Is(err, ErrUnknown) {
		t.Errorf("ReadTask gave %v, want ErrUnknown", err)
	}
	left, err := os.ReadDir(s.temp())
	must(t, err)
	if len(left) != 0 {
		t.Errorf("%d folders are left over", len(left))
	}
	admit(t, s, "task-1")
}

func TestStatusesAreNumberedSignedAndBounded(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	for n := 2; n < protocol.MaxStatuses; n++ {
		said, err := task.Say(protocol.Status{Status: protocol.Processing, Phase: protocol.Running, Item: 1})
		must(t, err)
		want := protocol.Status{
			TaskID: "task-1", JobID: "job-1", ServerID: "server-1", InstallationID: s.Installation().ID, Seq: n,
			Status: protocol.Processing, Phase: protocol.Running, Item: 1, ItemType: "HDK_UPGRADE",
			BootID: "boot-1", AgentVersion: "1.2.3", At: said.At,
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Fatalf("status (-want +got):\n%s", diff)
		}
	}
	if _, err := task.Say(protocol.Status{Status: protocol.Processing}); !errors.Is(err, ErrStatusLimit) {
		t.Fatalf("transition %d gave %v, want ErrStatusLimit", protocol.MaxStatuses, err)
	}
	verdict := say(t, task, protocol.Failed, protocol.Done)
	if verdict.Seq != protocol.MaxStatuses {
		t.Errorf("verdict has number %d, want %d", verdict.Seq, protocol.MaxStatuses)
	}
	again, err := task.Say(protocol.Status{Status: protocol.Success})
	if !errors.Is(err, ErrEnded) || again.Status != protocol.Failed {
		t.Errorf("a second verdict gave %v, %v; want the first and ErrEnded", again.Status, err)
	}
	ids := map[string]bool{}
	for _, rec := range task.Statuses() {
		ids[rec.MsgID] = true
	}
	if len(ids) != protocol.MaxStatuses {
		t.Errorf("%d deduplication ids for %d statuses", len(ids), protocol.MaxStatuses)
	}
}

func TestACancelIsRecordedOnceAndNotAfterTheVerdict(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	for i, want := range []bool{true, false} {
		if fresh, err := task.Cancel("deleted"); fresh != want || err != nil {
			t.Errorf("cancel %d gave %v, %v; want %v", i+1, fresh, err, want)
		}
	}
	if c := crash(t, s).Open("task-1").Cancelled(); c == nil || c.Reason != "deleted" {
		t.Errorf("cancel after a crash is %+v", c)
	}
	ended := admit(t, open(t, options(t.TempDir())), "task-2")
	say(t, ended, protocol.Success, protocol.Done)
	if fresh, err := ended.Cancel("late"); fresh || err != nil {
		t.Errorf("cancel after the verdict gave %v, %v", fresh, err)
	}
}
