package journal

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

// realLog is the log of a task that used every kind of record.
func realLog(t testing.TB) []byte {
	t.Helper()
	s := open(t, options(t.TempDir()))
	task := admit(t, s, "task-1")
	say(t, task, protocol.Processing, protocol.Running)
	must(t, task.PutMemo(MemoRecord{Name: "plan", Value: []byte(`[{"n":1},"ü\n"]`)}))
	must(t, task.PutStart(StartRecord{Step: "driver", Attempt: 1, Argv: []string{"install", "--full"}, Dir: "steps/0/01-driver"}))
	must(t, task.PutEnd(EndRecord{Step: "driver", Attempt: 1, Outcome: Exited, Code: 1}))
	_, err := task.Cancel("deleted")
	must(t, err)
	say(t, task, protocol.Deleted, protocol.Done)
	return get(t, logOf(s, "task-1"))
}

// bounds are the offsets at which the lines of a log end.
func bounds(log []byte) []int {
	var ends []int
	for i, b := range log {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	return ends
}

func wholeLines(ends []int, upTo int) int {
	n := 0
	for _, end := range ends {
		if end <= upTo {
			n++
		}
	}
	return n
}

func TestALogReadsAsItWasWritten(t *testing.T) {
	t.Parallel()
	log := realLog(t)
	records, good, err := parse(log)
	if err != nil || good != int64(len(log)) || len(records) != 8 {
		t.Fatalf("parse gave %d records, %d of %d bytes, %v", len(records), good, len(log), err)
	}
	if diff := cmp.Diff(string(log), string(encodeAll(t, records...))); diff != "" {
		t.Errorf("written again it differs (-was +is):\n%s", diff)
	}
	if diff := cmp.Diff(records, salvage(log)); diff != "" {
		t.Errorf("salvage differs (-parse +salvage):\n%s", diff)
	}
}

func TestALogCutAnywhereLosesOnlyItsTornRecord(t *testing.T) {
	t.Parallel()
	log := realLog(t)
	ends := bounds(log)
	whole, _, err := parse(log)
	must(t, err)
	for n := range log {
		records, good, err := parse(log[:n])
		want := wholeLines(ends, n)
		if diff := cmp.Diff(whole[:want], records); diff != "" && want > 0 {
			t.Fatalf("cut at %d (-want +got):\n%s", n, diff)
		}
		if want < 2 {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("cut at %d, in what was written at once: %v, want ErrDamaged", n, err)
			}
			continue
		}
		if err != nil || good != int64(ends[want-1]) {
			t.Fatalf("cut at %d: good to %d, %v; want %d", n, good, err, ends[want-1])
		}
	}
}

func TestAChangedByteIsNoticedAndLosesNothingBefore(t *testing.T) {
	t.Parallel()
	log := realLog(t)
	ends := bounds(log)
	last := len(ends) - 1
	for at := range log {
		for _, flip := range []byte{0x01, 0x20, log[at] ^ '\n'} {
			if flip == 0 {
				continue // it is a newline already
			}
			spoilt := bytes.Clone(log)
			spoilt[at] ^= flip
			line := wholeLines(ends, at)
			records, _, err := parse(spoilt)
			switch {
			case len(records) != line:
				t.Fatalf("byte %d ^ %#x: %d records are read, %d are before it", at, flip, len(records), line)
			case line < last && !errors.Is(err, ErrDamaged):
				t.Fatalf("byte %d ^ %#x of record %d of %d: %v, want ErrDamaged", at, flip, line+1, last+1, err)
			case line == last && spoilt[at] != '\n' && log[at] != '\n' && err != nil:
				// As the end of a write that was cut, whose bytes come in any order.
				t.Fatalf("byte %d ^ %#x of the last record: %v", at, flip, err)
			}
			if at%16 == 0 && len(salvage(spoilt)) < last {
				t.Fatalf("byte %d ^ %#x: only %d of %d records are saved", at, flip, len(salvage(spoilt)), last+1)
			}
		}
	}
}

func TestDamageIsToldFromATornEnd(t *testing.T) {
	t.Parallel()
	log := realLog(t)
	ends := bounds(log)
	line := func(n int) []byte {
		if n == 0 {
			return log[:ends[0]]
		}
		return log[ends[n-1]:ends[n]]
	}
	begin := log[:ends[1]]
	for _, c := range []struct {
		name    string
		log     []byte
		records int
		damaged bool
	}{
		{"nothing", nil, 0, true},
		{"only the first record", line(0), 1, true},
		{"zeros", make([]byte, 512), 0, true},
		{"a blank line at the end", append(bytes.Clone(begin), '\n'), 2, false},
		{"zeros at the end", append(bytes.Clone(begin), make([]byte, 512)...), 2, false},
		{"half a record at the end", append(bytes.Clone(begin), line(2)[:40]...), 2, false},
		{"half a record and a whole one", append(append(bytes.Clone(begin), line(2)[:40]...), line(3)...), 2, true},
		{"two lines of nothing at the end", append(bytes.Clone(begin), "x\ny"...), 2, true},
		{"a record is missing", append(bytes.Clone(begin), line(3)...), 2, true},
		{"a record comes twice", append(append(bytes.Clone(begin), line(2)...), line(2)...), 3, true},
		{"it begins with a status", log[ends[0]:], 0, true},
		{"a right sum of what is no JSON", append(bytes.Clone(begin), checksum([]byte("{"))+" {\n"...), 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			records, _, err := parse(c.log)
			if len(records) != c.records || errors.Is(err, ErrDamaged) != c.damaged {
				t.Errorf("%d records, %v; want %d, damaged %v", len(records), err, c.records, c.damaged)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	log := realLog(f)
	ends := bounds(log)
	f.Add(log)
	f.Add(log[:ends[1]])
	f.Add(log[:len(log)-1])
	f.Add(append(bytes.Clone(log[:ends[2]]), log[ends[3]:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, good, err := parse(data)
		if good < 0 || good > int64(len(data)) {
			t.Fatalf("good is %d of %d", good, len(data))
		}
		if err == nil {
			// What openLog leaves of it is whole, and nothing else comes of it.
			again, all, err := parse(data[:good])
			if err != nil || all != good || !cmp.Equal(records, again) {
				t.Fatalf("after the cut: %d of %d bytes, %v", all, good, err)
			}
			if next := bytes.Count(data[good:], []byte("\n")); next > 1 || next == 1 && data[len(data)-1] != '\n' {
				t.Fatalf("%d lines were taken for one torn record", next)
			}
		}
		for i, r := range records {
			if r.N != i+1 {
				t.Fatalf("record %d is number %d", i+1, r.N)
			}
		}
		if saved := salvage(data); len(saved) < len(records) {
			t.Fatalf("salvage has %d records, parse %d", len(saved), len(records))
		}
	})
}

// FuzzOpenTask opens a state directory with any log: whatever it holds, the
// store opens, the task gets one verdict and keeps it.
func FuzzOpenTask(f *testing.F) {
	log := realLog(f)
	f.Add(log)
	f.Add([]byte{})
	f.Add(log[:len(log)/2])
	f.Add(log[len(log)/2:])
	f.Fuzz(func(t *testing.T, data []byte) {
		s := open(t, options(t.TempDir()))
		admit(t, s, "task-1")
		put(t, logOf(s, "task-1"), data)
		s = crash(t, s)
		task := s.Open("task-1")
		verdict, err := task.Say(protocol.Status{Status: protocol.Failed, Phase: protocol.Done})
		if err != nil && !errors.Is(err, ErrEnded) {
			t.Fatal(err)
		}
		again := crash(t, s).Open("task-1")
		if again.Damage() != nil || !cmp.Equal(again.Latest(), verdict) {
			t.Fatalf("damage %v, verdict %+v, want %+v", again.Damage(), again.Latest(), verdict)
		}
	})
}

// The seeds in testdata hold what the fuzzers found worth keeping; they must
// stay what go test reads.
func TestSeedsAreThere(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"FuzzParse", "FuzzOpenTask"} {
		seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", target, "*"))
		must(t, err)
		if len(seeds) == 0 {
			t.Errorf("%s has no seeds", target)
		}
		for _, seed := range seeds {
			if head := "go test fuzz v1\n"; !bytes.HasPrefix(get(t, seed), []byte(head)) {
				t.Errorf("%s does not begin with %q", seed, head)
			}
		}
	}
}
