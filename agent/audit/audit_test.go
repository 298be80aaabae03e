package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// events lists what the log says, and checks that it holds.
func events(t testing.TB, dir string) (all []string) {
	t.Helper()
	r, err := Verify(dir)
	if err != nil || r.Broken != "" {
		t.Fatalf("%+v, %v", r, err)
	}
	err = Read(dir, func(l Line, whole bool) bool {
		if !whole {
			t.Error("a line is not whole")
		}
		all = append(all, strings.TrimSpace(string(l.Event)+" "+l.Task+l.Code))
		return true
	})
	if err != nil || len(all) != r.Lines {
		t.Fatalf("%d lines, %+v, %v", len(all), r, err)
	}
	return all
}

func want(t testing.TB, dir string, wanted ...string) {
	t.Helper()
	if got := events(t, dir); strings.Join(got, ", ") != strings.Join(wanted, ", ") {
		t.Errorf("the log says %v, want %v", got, wanted)
	}
}

// records are a task's, as its log has them.
func records() []journal.Record {
	task := &protocol.Task{JobID: "j", Job: protocol.Job{UserName: "somebody"}, Items: []protocol.Item{{Type: "HDK_QUERY"}}}
	all := []journal.Record{
		{Accept: &journal.AcceptRecord{Digest: "d", KeyID: "k", Task: task}},
		{Status: &journal.StatusRecord{Status: protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted}}},
		{Memo: &journal.MemoRecord{Name: "plan", Value: json.RawMessage(`"secret"`)}},
		{Start: &journal.StartRecord{Step: "s", Attempt: 1, Argv: []string{"true"}}},
		{End: &journal.EndRecord{Step: "s", Attempt: 1, Outcome: journal.Exited}},
		{Restart: &journal.RestartRecord{Name: "final"}},
		{Cancel: &journal.CancelRecord{Reason: "r"}},
		{Status: &journal.StatusRecord{Status: protocol.Status{Status: protocol.Success, Phase: protocol.Done}}},
	}
	for i := range all {
		all[i].N, all[i].At = i+1, int64(1000+i)
	}
	return all
}

func TestWhatATaskDidIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for _, rec := range records()[:4] {
		l.Record("t1", rec)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir) // the agent died; it tells all of the task again
	for _, rec := range records() {
		l.Record("t1", rec)
	}
	l.CaughtUp()
	l.Notice(protocol.Notice{Code: protocol.NoticeSignature, Count: 3})
	l.Notice(protocol.Notice{Code: protocol.NoticeDiskFull})
	want(t, dir, "ACCEPTED t1", "BEGUN t1", "ENDED t1", "RESTART t1", "CANCELLED t1", "VERDICT t1",
		"REFUSED "+string(protocol.NoticeSignature), "NOTICE "+string(protocol.NoticeDiskFull))
	raw, err := os.ReadFile(filepath.Join(dir, current))
	if err != nil || bytes.Contains(raw, []byte("secret")) || !bytes.Contains(raw, []byte(`"user":"somebody"`)) {
		t.Errorf("%s, %v", raw, err)
	}
	if info, err := os.Stat(filepath.Join(dir, current)); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func TestANilLogKeepsNothing(t *testing.T) {
	var l *Log
	l.Add(Entry{Event: Started})
	l.CaughtUp()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever is changed afterwards breaks the chain.
func TestTheChainShowsWhatWasChanged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for n := range 6 {
		l.Add(Entry{Event: Begun, Task: fmt.Sprintf("t%d", n)})
	}
	events(t, dir)
	file := filepath.Join(dir, current)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole := bytes.SplitAfter(raw, []byte("\n"))[:6]
	for name, changed := range map[string][][]byte{
		"a line is altered":     {whole[0], whole[1], bytes.Replace(whole[2], []byte("t2"), []byte("t9"), 1), whole[3]},
		"a line is taken out":   {whole[0], whole[1], whole[3], whole[4]},
		"two change places":     {whole[0], whole[2], whole[1], whole[3]},
		"one is there twice":    {whole[0], whole[1], whole[1], whole[2]},
		"one is no line":        {whole[0], []byte("{}\n"), whole[1]},
		"one is far too long":   {whole[0], bytes.Repeat([]byte("x"), 2*maxLine), []byte("\n"), whole[1]},
		"the first is not one":  {bytes.Replace(whole[0], []byte(`"prev":""`), []byte(`"prev":"aa"`), 1), whole[1]},
		"a line is put between": {whole[0], []byte(`{"seq":2,"prev":"` + digest(bytes.TrimSpace(whole[0])) + `","event":"BEGUN"}` + "\n"), whole[1], whole[2]},
	} {
		t.Run(name, func(t *testing.T) {
			other := t.TempDir()
			if err := os.WriteFile(filepath.Join(other, current), bytes.Join(changed, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err := Verify(other); err != nil || r.Broken == "" {
				t.Errorf("nothing is noticed: %+v, %v", r, err)
			}
		})
	}
}

func TestATornLineIsCutOffAndSaid(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.Add(Entry{Event: Started})
	l.Add(Entry{Event: Begun, Task: "t1"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, current)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw[:len(raw)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir).Add(Entry{Event: Started})
	want(t, dir, "STARTED", "TORN", "STARTED")
}

// A log that grows is put aside, goes on with the same chain, and is bounded.
func TestALogIsPutAside(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.limit = 4 << 10
	for range (maxKept + 3) * 40 {
		l.Add(Entry{Event: Begun, Message: strings.Repeat("x", 100)})
	}
	files, err := Files(dir)
	if err != nil || len(files) != maxKept+1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	r, err := Verify(dir)
	if err != nil || r.Broken != "" || r.First == 1 || r.Last != l.seq {
		t.Errorf("%+v, %v", r, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	again.Add(Entry{Event: Started})
	if after, err := Verify(dir); err != nil || after.Broken != "" || after.Last != r.Last+1 {
		t.Errorf("%+v, %v", after, err)
	}
}

func TestWhatIsTooLongIsKeptWithoutItsWords(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	l.Add(Entry{Event: Begun, Task: "t1", Argv: []string{strings.Repeat("x", maxLine)}})
	l.Add(Entry{Event: Ended, Task: "t1"})
	want(t, dir, "BEGUN t1", "ENDED t1")
}

// What could not be written is counted and said.
func TestWhatWasMissedIsCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // no folder can be there
		t.Fatal(err)
	}
	l, err := Open(dir)
	if err == nil {
		t.Fatal("a file was taken for a folder")
	}
	l.Add(Entry{Event: Started})
	l.Add(Entry{Event: Begun, Task: "t1"})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	l.Add(Entry{Event: Ended, Task: "t1"})
	want(t, dir, "MISSED", "ENDED t1")
	if err := Read(dir, func(l Line, _ bool) bool {
		if l.Event == Missed && l.Count != 2 {
			t.Errorf("%d are said to be missed", l.Count)
		}
		return true
	}); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"seq":1,"prev":"","at":1,"event":"STARTED"}` + "\n"))
	f.Add([]byte(`{"seq":9223372036854775807,"prev":"","event":"X"}` + "\n{"))
	f.Add([]byte("\n\n\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, current), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir)
		l.Add(Entry{Event: Started})
		n := 0
		if err := Read(dir, func(l Line, _ bool) bool { n++; return true }); err != nil || n == 0 {
			t.Errorf("%d lines, %v", n, err)
		}
	})
}
