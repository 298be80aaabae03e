package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

// options are those of an agent on the machine and in the boot of most tests.
func options(dir string) Options {
	return Options{Dir: dir, ServerID: "server-1", Version: "1.2.3", Machine: "machine-1", BootID: "boot-1"}
}

func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.die)
	return s
}

// die gives the directory up as the kernel does for a killed process: nothing
// is written, only the lock is gone.
func (s *Store) die() { _ = s.lock.Close() }

func crash(t testing.TB, s *Store) *Store {
	t.Helper()
	s.die()
	return open(t, s.opts)
}

// order is a task as it is sent, in its envelope.
func order(t testing.TB, id string) Admission {
	t.Helper()
	task := protocol.Task{
		TaskID: id, JobID: "job-1", ServerID: "server-1", Type: "HDK",
		Items:    []protocol.Item{{Type: "HDK_QUERY"}, {Type: "HDK_UPGRADE", Spec: map[string]string{"version": "25.0.1"}}},
		IssuedAt: 1_700_000_000_000, ExpiresAt: 1_700_600_000_000,
	}
	envelope, err := protocol.Seal(nil, task)
	if err != nil {
		t.Fatal(err)
	}
	return Admission{
		ID: id, Envelope: &envelope,
		Accept: AcceptRecord{Digest: protocol.Digest(envelope), ExpiresAt: task.ExpiresAt, Task: &task},
		First:  protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted, Message: "Accepted."},
	}
}

func admit(t testing.TB, s *Store, id string) *Task {
	t.Helper()
	task, err := s.Admit(order(t, id))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func say(t testing.TB, task *Task, state protocol.State, phase protocol.Phase) protocol.Status {
	t.Helper()
	said, err := task.Say(protocol.Status{Status: state, Phase: phase, Message: string(phase)})
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// deliver acknowledges all that a task has said.
func deliver(t testing.TB, task *Task) {
	t.Helper()
	for _, rec := range task.Statuses() {
		if err := task.Acknowledged(rec.Status); err != nil {
			t.Fatal(err)
		}
	}
}

// finish brings a task to its acknowledged end.
func finish(t testing.TB, s *Store, task *Task) {
	t.Helper()
	say(t, task, protocol.Success, protocol.Done)
	deliver(t, task)
	if err := s.Finish(task); err != nil {
		t.Fatal(err)
	}
	if s.Open(task.ID()) != nil {
		t.Fatalf("task %s is still open after Finish", task.ID())
	}
}

func logOf(s *Store, id string) string { return filepath.Join(s.folder(id), "log") }

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnInstallationIsBornOnceAndStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, options(dir))
	born := s.Installation()
	if len(born.ID) != 32 || born.Machine != "machine-1" {
		t.Fatalf("installation is %+v", born)
	}
	if diff := cmp.Diff(born, crash(t, s).Installation()); diff != "" {
		t.Errorf("installation changed with a restart (-born +now):\n%s", diff)
	}
}

func TestASecondDaemonIsKeptOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, options(dir))
	admit(t, first, "task-1")
	if _, err := Open(options(dir)); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second Open gave %v, want ErrLocked", err)
	}
	say(t, first.Open("task-1"), protocol.Processing, protocol.Running)
	must(t, first.Close())
	second := open(t, options(dir))
	if got := second.Open("task-1").Latest().Phase; got != protocol.Running {
		t.Errorf("task is %s, want RUNNING", got)
	}
}

func TestTheStateOfAnotherMachineIsRefusedUntilAdopted(t *testing.T) {
	t.Parallel()
	opts := options(t.TempDir())
	born := open(t, opts)
	admit(t, born, "task-1")
	must(t, born.Close())

	opts.Machine = "machine-2"
	if _, err := Open(opts); !errors.Is(err, ErrOtherMachine) {
		t.Fatalf("Open on another machine gave %v, want ErrOtherMachine", err)
	}
	opts.Adopt = true
	adopted := open(t, opts)
	if adopted.Installation().ID != born.Installation().ID || adopted.Open("task-1") == nil {
		t.Error("an adopted directory is not the installation it was")
	}
	must(t, adopted.Close())
	opts.Adopt = false
	open(t, opts) // it belongs to this machine now
}

func TestAnUnknownMachineIsNotCompared(t *testing.T) {
	t.Parallel()
	opts := options(t.TempDir())
	must(t, open(t, opts).Close())
	opts.Machine = ""
	open(t, opts)
}

func TestANewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	opts := options(t.TempDir())
	must(t, open(t, opts).Close())
	path := filepath.Join(opts.Dir, "installation.json")
	newer := []byte(`{"schema":2,"installation_id":"of-tomorrow","machine":"machine-1"}`)
	put(t, path, newer)
	if _, err := Open(opts); !errors.Is(err, ErrSchema) {
		t.Fatalf("Open gave %v, want ErrSchema", err)
	}
	if diff := cmp.Diff(string(newer), string(get(t, path))); diff != "" {
		t.Errorf("installation.json was changed:\n%s", diff)
	}
}

func TestADamagedInstallationIsNamed(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"empty": "", "torn": `{"schema":1,"insta`, "without id": `{"schema":1}`} {
		t.Run(name, func(t *testing.T) {
			opts := options(t.TempDir())
			must(t, open(t, opts).Close())
			put(t, filepath.Join(opts.Dir, "installation.json"), []byte(content))
			if _, err := Open(opts); !errors.Is(err, ErrDamaged) {
				t.Fatalf("Open gave %v, want ErrDamaged", err)
			}
		})
	}
}

func TestTheEpochIsRemembered(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	if epoch, err := s.Epoch(); err != nil || epoch != "" {
		t.Fatalf("epoch before the first is %q, %v", epoch, err)
	}
	must(t, s.SetEpoch("epoch-7"))
	if epoch, err := crash(t, s).Epoch(); err != nil || epoch != "epoch-7" {
		t.Errorf("epoch is %q, %v", epoch, err)
	}
}

func TestListenersHearEveryTransition(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	var heard []string
	s.Listen(func(task *Task) { heard = append(heard, string(task.Latest().Phase)) })
	task := admit(t, s, "task-1")
	say(t, task, protocol.Processing, protocol.Running)
	s.Touch(task)
	must(t, s.Reopen("task-1"))
	if diff := cmp.Diff([]string{"ACCEPTED", "RUNNING", "RUNNING", "RUNNING"}, heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}

// The time a task uses survives a restart of the agent and stands still while
// the host is off.
// Who listens to records hears each once while the agent lives, and all of an open task
// again after a crash.
func TestEveryRecordOfAnOpenTaskIsTold(t *testing.T) {
	t.Parallel()
	var told []string
	listen := func(task string, rec Record) { told = append(told, fmt.Sprintf("%s %d", task, rec.N)) }
	hears := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		told = nil
	}
	s := open(t, options(t.TempDir()))
	finish(t, s, admit(t, s, "finished"))
	must(t, s.ListenRecords(listen))
	hears()
	task := admit(t, s, "task-1")
	say(t, task, protocol.Processing, protocol.Running)
	must(t, task.PutMemo(MemoRecord{Name: "m", Value: []byte("1")}))
	hears("task-1 1", "task-1 2", "task-1 3", "task-1 4")
	s = crash(t, s)
	must(t, s.ListenRecords(listen))
	hears("task-1 1", "task-1 2", "task-1 3", "task-1 4")
	must(t, s.Repeat("finished"))
	hears()
}

func TestSpentTimeGoesOnInABootAndStandsStillBetweenBoots(t *testing.T) {
	t.Parallel()
	opts := options(t.TempDir())
	s := open(t, opts)
	task := admit(t, s, "task-1")
	if spent := task.Spent(); spent != 0 {
		t.Errorf("a task that has not run has spent %v", spent)
	}
	say(t, task, protocol.Processing, protocol.Running)
	must(t, task.PutMemo(MemoRecord{Name: "one", Value: []byte("1")}))
	recorded := task.last.Spent
	if recorded <= 0 {
		t.Errorf("a running task has spent %d ms", recorded)
	}
	s = crash(t, s)
	if spent := s.Open("task-1").Spent(); spent < time.Duration(recorded)*time.Millisecond {
		t.Errorf("after a restart of the agent %v are spent, %d ms were recorded", spent, recorded)
	}
	s.die()
	opts.BootID = "boot-2"
	if spent := open(t, opts).Open("task-1").Spent(); spent != time.Duration(recorded)*time.Millisecond {
		t.Errorf("after a restart of the host %v are spent, want %d ms", spent, recorded)
	}
}
