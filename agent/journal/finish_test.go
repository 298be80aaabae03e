package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

const month = 30 * 24 * time.Hour

func TestAFinishedTaskShrinksToWhatIsStillAskedFor(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	say(t, task, protocol.Processing, protocol.Running)
	must(t, task.PutMemo(MemoRecord{Name: "plan", Value: []byte(`["secret of the replay"]`)}))
	must(t, os.MkdirAll(filepath.Join(task.Dir(), "steps/0/01-x"), 0o700))
	put(t, task.OutputPath(0), []byte("output\n"))
	before, err := ReadTask(s.Dir(), "task-1")
	must(t, err)
	say(t, task, protocol.Success, protocol.Done)
	deliver(t, task)
	must(t, task.SetCursor(func(c *Cursor) { c.SetSent(0, 7) }))
	must(t, s.Finish(task))
	must(t, s.Finish(task)) // as two senders do

	view, err := ReadTask(s.Dir(), "task-1")
	must(t, err)
	if diff := cmp.Diff(before.Accept, view.Accept); diff != "" {
		t.Errorf("accepted (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(before.Statuses, view.Statuses[:2]); diff != "" || view.Latest().Status != protocol.Success || view.Open {
		t.Errorf("view is %+v; statuses (-before +after):\n%s", view, diff)
	}
	if _, err := os.Stat(filepath.Join(task.Dir(), "steps")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("steps are still there: %v", err)
	}
	if got := string(get(t, task.OutputPath(0))); got != "output\n" {
		t.Errorf("output is %q", got)
	}
	if s := crash(t, s); len(s.AllOpen()) != 0 {
		t.Error("the task is open after a restart")
	}
}

func TestATaskIsNotFinishedBeforeItsTime(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	if err := s.Finish(task); err == nil {
		t.Error("a task without a verdict was finished")
	}
	start := StartRecord{Step: "flash", Attempt: 1, Argv: []string{"flash"}, Dir: "steps/0/01-flash"}
	must(t, task.PutStart(start))
	must(t, task.PutEnd(EndRecord{Step: "flash", Attempt: 1, Outcome: Stuck}))
	say(t, task, protocol.Failed, protocol.Done)
	deliver(t, task)
	if err := s.Finish(task); err == nil {
		t.Error("a task whose program still runs was finished")
	}
	task = crash(t, s).Open("task-1")
	if end, dir := task.Stuck(); end == nil || dir != start.Dir {
		t.Fatalf("stuck after a restart is %v in %q", end, dir)
	}
	must(t, task.PutEnd(EndRecord{Step: "flash", Attempt: 1, Outcome: Exited}))
	if end, _ := task.Stuck(); end != nil {
		t.Errorf("it has ended and is still stuck: %+v", end)
	}
}

// Dying in the middle of Finish leaves the mark, so the next start has the task
// again and finishes it.
func TestAFinishThatWasCutIsDoneAgain(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	say(t, task, protocol.Success, protocol.Done)
	deliver(t, task)
	_, err := task.shrink()
	must(t, err)
	s = crash(t, s)
	task = s.Open("task-1")
	if task == nil || task.Damage() != nil || task.Latest().Status != protocol.Success || task.Cursor().Seq != 2 {
		t.Fatalf("after the cut the task is %+v", task)
	}
	must(t, s.Finish(task))
	if crash(t, s).Open("task-1") != nil {
		t.Error("it is open again")
	}
}

// Whoever says everything again must not be overtaken by whoever had just seen
// that all was said.
func TestATaskThatIsToBeSaidAgainIsNotFinished(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	say(t, task, protocol.Success, protocol.Done)
	deliver(t, task)
	must(t, s.Reopen("task-1"))
	must(t, s.Finish(task))
	if s.Open("task-1") == nil {
		t.Error("the task was closed with nothing said again")
	}
}

func TestAFinishedTaskComesBackToSayItAgain(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	old := admit(t, s, "task-1")
	finish(t, s, old)
	if err := s.Reopen("task-2"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Reopen of an unknown task gave %v", err)
	}
	must(t, s.Reopen("task-1"))
	// A sender that still has the old one must not bring its cursor back.
	_ = old.Acknowledged(old.Latest())
	for range 2 {
		task := s.Open("task-1")
		if task == nil {
			t.Fatal("it is not open")
		}
		if diff := cmp.Diff(Cursor{Round: 1}, task.Cursor()); diff != "" {
			t.Errorf("cursor (-want +got):\n%s", diff)
		}
		s = crash(t, s)
	}
}

func TestStatusesAreRepeatedWithoutTheOutput(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	must(t, task.SetCursor(func(c *Cursor) { c.SetSent(1, 500) }))
	finish(t, s, task)
	must(t, s.Repeat("task-1"))
	if diff := cmp.Diff(Cursor{Round: 1, Output: []int64{0, 500}}, crash(t, s).Open("task-1").Cursor()); diff != "" {
		t.Errorf("cursor (-want +got):\n%s", diff)
	}
	if err := s.Repeat("task-2"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Repeat of an unknown task gave %v", err)
	}
}

func TestOutputIsRewoundWithinItsBounds(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	must(t, task.SetCursor(func(c *Cursor) { c.SetSent(1, 500) }))
	for _, bad := range []struct {
		item int
		from int64
	}{{-1, 0}, {2, 0}, {1, -1}} {
		if err := s.Rewind("task-1", bad.item, bad.from); err == nil {
			t.Errorf("Rewind to %+v was accepted", bad)
		}
	}
	must(t, s.Rewind("task-1", 1, 900)) // it is not that far yet
	if got := task.Cursor().Sent(1); got != 500 {
		t.Errorf("cursor is at %d, want 500", got)
	}
	must(t, s.Rewind("task-1", 1, 100))
	if got := task.Cursor().Sent(1); got != 100 {
		t.Errorf("cursor is at %d, want 100", got)
	}
}

func TestACursorThatCannotBeReadBeginsAgain(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	deliver(t, task)
	for _, content := range []string{"", "\x00\x00\x00\x00", `{"seq":1,"outp`} {
		put(t, filepath.Join(task.Dir(), "cursor"), []byte(content))
		s = crash(t, s)
		if diff := cmp.Diff(Cursor{}, s.Open("task-1").Cursor()); diff != "" {
			t.Errorf("cursor of %q (-want +got):\n%s", content, diff)
		}
	}
}

// ended makes a finished task whose verdict was given at a time of the host's
// clock and which expired at another.
func ended(t *testing.T, s *Store, id string, at, expires time.Time) {
	t.Helper()
	a := order(t, id)
	a.Accept.ExpiresAt = expires.UnixMilli()
	task, err := s.Admit(a)
	must(t, err)
	finish(t, s, task)
	path := logOf(s, id)
	records, _, err := parse(get(t, path))
	must(t, err)
	for i := range records {
		if records[i].Status != nil {
			records[i].Status.Status.At = at.UnixMilli()
		}
	}
	put(t, path, encodeAll(t, records...))
	must(t, os.Chtimes(path, at, at))
}

func TestATaskIsForgottenWhenItsResultsAreOldAndItCannotComeBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		name        string
		now         time.Time
		at, expires time.Time
		want        bool
	}{
		{"results old, expiry past by more than a day", now, now.Add(-month - day), now.Add(-25 * time.Hour), true},
		{"results old, expiry past by less than a day", now, now.Add(-month - day), now.Add(-23 * time.Hour), false},
		{"results old, not expired", now, now.Add(-month - day), now.Add(day), false},
		{"results young, long expired", now, now.Add(-month + day), now.Add(-20 * day), false},
		{"nobody vouches for any time", time.Time{}, now.Add(-month - day), now.Add(-5 * day), false},
		{"the host's clock was years behind at its end", now, time.UnixMilli(1000), now.Add(-5 * day), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, options(t.TempDir()))
			ended(t, s, "task-1", c.at, c.expires)
			n, err := s.Forget(c.now, month)
			must(t, err)
			_, err = ReadTask(s.Dir(), "task-1")
			if gone := errors.Is(err, ErrUnknown); gone != c.want || n == 1 != c.want {
				t.Errorf("forgotten: %v (%d counted), want %v", gone, n, c.want)
			}
		})
	}
}

func TestAnOpenTaskIsNeverForgotten(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	admit(t, s, "task-1")
	if n, err := s.Forget(time.Now().Add(10*365*24*time.Hour), month); n != 0 || err != nil {
		t.Errorf("Forget gave %d, %v", n, err)
	}
}

func TestATaskThatCannotBeReadDoesNotKeepOthersFromBeingForgotten(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 5 {
		id := fmt.Sprint("task-", i)
		ended(t, s, id, old, old)
		must(t, os.Remove(logOf(s, id)))
		must(t, os.Mkdir(logOf(s, id), 0o700)) // reading it is an error
		must(t, os.Chtimes(logOf(s, id), old, old))
		ended(t, s, fmt.Sprint("good-", i), old, old)
	}
	n, err := s.Forget(old.Add(3*month), month)
	if n != 5 || err == nil {
		t.Errorf("Forget gave %d, %v; want 5 and the errors of the others", n, err)
	}
}

func TestADamagedFinishedTaskIsKeptAsLongAsItCouldComeBack(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ended(t, s, "task-1", old, old.Add(month))
	put(t, logOf(s, "task-1"), []byte("spoilt"))
	must(t, os.Chtimes(logOf(s, "task-1"), old, old))
	if n, err := s.Forget(old.Add(month+24*time.Hour), month); n != 0 || err != nil {
		t.Errorf("before its expiry is surely past: Forget gave %d, %v", n, err)
	}
	if n, err := s.Forget(old.Add(3*month), month); n != 1 || err != nil {
		t.Errorf("after it: Forget gave %d, %v", n, err)
	}
}

func TestAFolderThatIsNoTaskIsForgottenToo(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	must(t, os.MkdirAll(s.folder("task-1"), 0o700))
	must(t, os.Chtimes(s.folder("task-1"), old, old))
	if n, err := s.Forget(old.Add(3*month), month); n != 1 || err != nil {
		t.Errorf("Forget gave %d, %v", n, err)
	}
}

// Readers see a task whole or not at all, and a task that somebody brings back
// meanwhile stays.
func TestForgettingRacesWithReadingAndReopening(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 40 {
		id := fmt.Sprint("task-", i)
		ended(t, s, id, old, old)
		put(t, s.folder(id)+"/output/0", []byte("something"))
		var wg sync.WaitGroup
		var reopened error
		wg.Go(func() {
			if _, err := s.Forget(old.Add(3*month), month); err != nil {
				t.Errorf("Forget: %v", err)
			}
		})
		wg.Go(func() { reopened = s.Reopen(id) })
		wg.Go(func() {
			for range 20 {
				if v, err := ReadTask(s.Dir(), id); err == nil && v.Latest().Status != protocol.Success || err != nil && !errors.Is(err, ErrUnknown) {
					t.Errorf("a reader saw %+v, %v", v, err)
				}
			}
		})
		wg.Wait()
		_, err := ReadTask(s.Dir(), id)
		if there := err == nil; there != (reopened == nil) || there != (s.Open(id) != nil) {
			t.Fatalf("Reopen gave %v, ReadTask %v, open: %v", reopened, err, s.Open(id) != nil)
		}
	}
}
