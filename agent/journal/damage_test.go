package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

// damaged makes a task that has begun to act, lets the host die and changes its
// log before the next start.
func damaged(t *testing.T, change func(t *testing.T, s *Store, path string)) (*Store, *Task) {
	t.Helper()
	s := open(t, options(t.TempDir()))
	admit(t, s, "other")
	task := admit(t, s, "task-1")
	say(t, task, protocol.Processing, protocol.Running)
	must(t, task.PutStart(StartRecord{Step: "driver", Attempt: 1, Argv: []string{"install"}, Dir: "steps/0/01-driver"}))
	must(t, task.PutMemo(MemoRecord{Name: "plan", Value: []byte(`["a"]`)}))
	deliver(t, task)
	s.die()
	change(t, s, logOf(s, "task-1"))
	s = open(t, s.opts)
	return s, s.Open("task-1")
}

// spoil changes one byte of a line of a log, counted from 0.
func spoil(line int) func(*testing.T, *Store, string) {
	return func(t *testing.T, _ *Store, path string) {
		data := get(t, path)
		at := 0
		for range line {
			at += bytes.IndexByte(data[at:], '\n') + 1
		}
		data[at+10] ^= 0x01
		put(t, path, data)
	}
}

func empty(t *testing.T, _ *Store, path string) { put(t, path, nil) }

func missing(t *testing.T, _ *Store, path string) { must(t, os.Remove(path)) }

func onlyAccept(t *testing.T, _ *Store, path string) {
	line, _, _ := bytes.Cut(get(t, path), []byte("\n"))
	put(t, path, append(line, '\n'))
}

func joined(t *testing.T, _ *Store, path string) {
	data := get(t, path)
	data[bytes.LastIndexByte(data[:len(data)-1], '\n')] = 'x'
	put(t, path, data)
}

func lastTwo(t *testing.T, s *Store, path string) {
	spoil(3)(t, s, path)
	spoil(4)(t, s, path)
}

func forgotWhatWasSent(t *testing.T, s *Store, path string) {
	data := get(t, path)
	lines := bytes.SplitAfter(data, []byte("\n"))
	put(t, path, bytes.Join(lines[:2], nil))
}

func TestADamagedLogEndsItsTaskAndNoOther(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *Store, string){
		"its first record is spoilt":                  spoil(0),
		"its second record is spoilt":                 spoil(1),
		"a record in the middle is spoilt":            spoil(2),
		"it is empty":                                 empty,
		"it is missing":                               missing,
		"it ends before its first status":             onlyAccept,
		"the end of the last record but one is lost":  joined,
		"the last two records are spoilt":             lastTwo,
		"it lacks a status that the broker has":       forgotWhatWasSent,
		"it holds nothing but zeros":                  func(t *testing.T, _ *Store, path string) { put(t, path, make([]byte, 4096)) },
		"it begins with another record than a task's": func(t *testing.T, _ *Store, path string) { put(t, path, encodeAll(t, Record{N: 1}, Record{N: 2})) },
	} {
		t.Run(name, func(t *testing.T) {
			s, task := damaged(t, change)
			if other := s.Open("other"); other == nil || other.Damage() != nil {
				t.Fatal("another task was harmed")
			}
			if task == nil {
				t.Fatal("the task is not open any more, so it would never get a verdict")
			}
			// It dies again before the verdict is on disk, twice.
			for range 2 {
				if !errors.Is(task.Damage(), ErrDamaged) {
					t.Fatalf("damage is %v, want ErrDamaged", task.Damage())
				}
				if got := task.Accepted(); got.Task == nil || got.Task.JobID != "job-1" || got.ExpiresAt == 0 {
					t.Errorf("the task it was is not known any more: %+v", got)
				}
				s = crash(t, s)
				task = s.Open("task-1")
			}
			before := task.Cursor().Seq
			verdict, err := task.Say(protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Code: protocol.JournalDamaged})
			must(t, err)
			if verdict.Seq <= max(before, 2) {
				t.Errorf("the verdict has number %d, which the broker had before", verdict.Seq)
			}
			if verdict.JobID != "job-1" {
				t.Errorf("the verdict is of job %q", verdict.JobID)
			}
			s = crash(t, s)
			task = s.Open("task-1")
			if task.Damage() != nil || task.Latest().Code != protocol.JournalDamaged {
				t.Errorf("after the verdict: damage %v, latest %+v", task.Damage(), task.Latest())
			}
			deliver(t, task)
			must(t, s.Finish(task))
		})
	}
}

func encodeAll(t *testing.T, records ...Record) []byte {
	t.Helper()
	var lines []byte
	for _, r := range records {
		line, err := encode(r)
		must(t, err)
		lines = append(lines, line...)
	}
	return lines
}

func TestADamagedLogIsKeptForThoseWhoLookIntoIt(t *testing.T) {
	t.Parallel()
	var spoilt []byte
	s, task := damaged(t, func(t *testing.T, s *Store, path string) {
		spoil(2)(t, s, path)
		spoilt = get(t, path)
	})
	if diff := cmp.Diff(string(spoilt), string(get(t, logOf(s, "task-1")+".damaged"))); diff != "" {
		t.Errorf("log.damaged (-want +got):\n%s", diff)
	}
	if got := task.Starts(); len(got) != 1 || got[0].Step != "driver" {
		t.Errorf("starts that can still be read are lost: %v", got)
	}
}

func TestADamagedTaskTakesNothingButItsVerdict(t *testing.T) {
	t.Parallel()
	_, task := damaged(t, spoil(2))
	if _, err := task.Say(protocol.Status{Status: protocol.Processing, Phase: protocol.Running}); !errors.Is(err, ErrDamaged) {
		t.Errorf("Say gave %v, want ErrDamaged", err)
	}
	if err := task.PutStart(StartRecord{Step: "firmware", Attempt: 1}); !errors.Is(err, ErrDamaged) {
		t.Errorf("PutStart gave %v, want ErrDamaged", err)
	}
	if err := task.PutMemo(MemoRecord{Name: "more"}); !errors.Is(err, ErrDamaged) {
		t.Errorf("PutMemo gave %v, want ErrDamaged", err)
	}
}

func TestAVerdictThatCanStillBeReadStands(t *testing.T) {
	t.Parallel()
	s, task := damaged(t, func(t *testing.T, s *Store, path string) {
		s = open(t, s.opts)
		say(t, s.Open("task-1"), protocol.Success, protocol.Done)
		s.die()
		spoil(2)(t, s, path)
	})
	if task.Damage() != nil || task.Latest().Status != protocol.Success {
		t.Fatalf("damage %v, latest %+v; the task had its verdict", task.Damage(), task.Latest())
	}
	if got := crash(t, s).Open("task-1").Latest(); got.Status != protocol.Success {
		t.Errorf("after another restart the verdict is %+v", got)
	}
}

// A finished task whose log is damaged is asked for again by a new broker: it
// gets a verdict there and then, for nobody runs it.
func TestADamagedLogOfAFinishedTaskStillAnswers(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	finish(t, s, admit(t, s, "task-1"))
	put(t, logOf(s, "task-1"), nil)
	must(t, s.Reopen("task-1"))
	if got := s.Open("task-1").Latest(); got.Code != protocol.JournalDamaged {
		t.Errorf("latest is %+v, want a verdict JOURNAL_DAMAGED", got)
	}
}

func TestATombstoneThatIsDamagedStaysATombstone(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	envelope, err := protocol.Seal(nil, protocol.Cancel{TaskID: "task-1", ServerID: "server-1", ExpiresAt: 1_700_600_000_000, Reason: "deleted"})
	must(t, err)
	_, err = s.Admit(Admission{ID: "task-1", Envelope: &envelope, Accept: AcceptRecord{ExpiresAt: 1_700_600_000_000},
		First: protocol.Status{Status: protocol.Deleted, Phase: protocol.Done}})
	must(t, err)
	put(t, logOf(s, "task-1"), nil)
	task := crash(t, s).Open("task-1")
	if task.Accepted().Task != nil || task.Accepted().ExpiresAt != 1_700_600_000_000 {
		t.Errorf("accepted is %+v", task.Accepted())
	}
}

func TestAnEnvelopeThatCannotBeReadDoesNotHoldUpTheVerdict(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	put(t, filepath.Join(task.Dir(), "envelope"), []byte(`{"payload`))
	if e, err := task.Envelope(); e != nil || err != nil {
		t.Errorf("Envelope gave %v, %v; want none and no error", e, err)
	}
}

func TestAMarkWithoutAFolderIsNoTask(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	put(t, s.mark("task-1"), nil)
	s = crash(t, s)
	if s.Open("task-1") != nil {
		t.Error("a task without a folder is open")
	}
	if _, err := os.Stat(s.mark("task-1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its mark is still there: %v", err)
	}
	admit(t, s, "task-1")
}

func TestAMissingLogIsDamageToReaders(t *testing.T) {
	t.Parallel()
	s := open(t, options(t.TempDir()))
	must(t, os.Remove(logOf(s, admit(t, s, "task-1").ID())))
	if _, err := ReadTask(s.Dir(), "task-1"); !errors.Is(err, ErrDamaged) {
		t.Errorf("ReadTask gave %v, want ErrDamaged: ErrUnknown would have the task accepted again", err)
	}
	if _, err := ReadTask(s.Dir(), "task-2"); !errors.Is(err, ErrUnknown) {
		t.Errorf("ReadTask of a task that never was gave %v, want ErrUnknown", err)
	}
}
