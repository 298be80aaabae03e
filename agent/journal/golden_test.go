package journal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/support/golden"
)

// What differs from run to run.
var changing = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`"(at|uptime|spent|order|verdict_at|created_at)": ?\d+`), `"$1":0`},
	{regexp.MustCompile(`"(msg_id|installation_id)": ?"[0-9a-f]{32}"`), `"$1":"RANDOM"`},
	{regexp.MustCompile(`(?m)^[0-9a-f]{8} \{`), `CRC32C.. {`},
}

// A state directory is what operators read with cat, and what the next version
// of the agent finds: a change of these files is a change of the schema.
func TestAStateDirectoryLooksAsItAlwaysDid(t *testing.T) {
	s := open(t, options(filepath.Join(t.TempDir(), "state")))
	must(t, s.SetEpoch("epoch-1"))
	running := admit(t, s, "running")
	say(t, running, protocol.Processing, protocol.Running)
	must(t, running.PutMemo(MemoRecord{Item: 0, Name: "plan", Value: []byte(`["driver"]`)}))
	must(t, running.PutStart(StartRecord{Item: 0, Step: "driver", Attempt: 1, Argv: []string{"install"}, Dir: "steps/0/01-driver"}))
	must(t, running.PutEnd(EndRecord{Item: 0, Step: "driver", Attempt: 1, Outcome: Exited, Code: 137, Signal: "killed", TookMS: 12}))
	_, err := running.Cancel("job was deleted")
	must(t, err)
	must(t, running.PrepareOutput(0))
	must(t, running.SetCursor(func(c *Cursor) { c.SetSent(1, 4096) }))
	finish(t, s, admit(t, s, "finished"))
	finish(t, s, admit(t, s, "again"))
	must(t, s.Reopen("again"))
	say(t, admit(t, s, "spoilt"), protocol.Processing, protocol.Running)
	spoil(1)(t, s, logOf(s, "spoilt"))
	s = crash(t, s)

	golden.Compare(t, filepath.Join("testdata", "state.golden"), listing(t, s.Dir()))
}

// Fuzzing begins with logs as they are today, whole and damaged.
func TestFuzzSeedsAreLogsAsTheyAreWritten(t *testing.T) {
	log := constant(t, realLog(t))
	ends := bounds(log)
	for name, data := range map[string][]byte{
		"FuzzParse/every-kind-of-record":    log,
		"FuzzParse/lost-newline":            slices.Concat(log[:ends[3]-1], log[ends[3]:]),
		"FuzzParse/torn-end":                log[:ends[4]+30],
		"FuzzOpenTask/every-kind-of-record": log,
		"FuzzOpenTask/two-accepts":          slices.Concat(log[:ends[1]], log),
	} {
		golden.Compare(t, filepath.Join("testdata", "fuzz", filepath.FromSlash(name)), fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", data))
	}
}

// constant is a log with times and ids that do not change from run to run.
func constant(t *testing.T, log []byte) []byte {
	t.Helper()
	records, _, err := parse(log)
	must(t, err)
	for i := range records {
		r := &records[i]
		r.At, r.Uptime, r.Spent = order(t, "task-1").Accept.Task.IssuedAt+int64(i), 3_600_000+int64(i), int64(i)
		if r.Accept != nil {
			r.Accept.Order = r.At * 1000
		}
		if r.Status != nil {
			r.Status.MsgID = fmt.Sprintf("%032x", i)
			r.Status.Status.At, r.Status.Status.InstallationID = r.At, strings.Repeat("0", 32)
		}
	}
	return encodeAll(t, records...)
}

// listing is every name under a folder, with its mode and what is in it.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s", info.Mode(), name)
		switch {
		case entry.IsDir():
			b.WriteString("\n")
			return nil
		case info.Size() > 64<<10:
			fmt.Fprintf(&b, " (%d bytes)\n", info.Size())
			return nil
		}
		data, err := os.ReadFile(path)
		text := string(data)
		for _, c := range changing {
			text = c.pattern.ReplaceAllString(text, c.by)
		}
		b.WriteString("\n")
		for line := range strings.Lines(text) {
			b.WriteString("\t" + strings.TrimSuffix(line, "\n") + "\n")
		}
		return err
	}))
	return b.String()
}
