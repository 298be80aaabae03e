package journal

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
)

var update = flag.Bool("update", false, "write the golden files and the fuzz seeds anew")

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

	got := listing(t, s.Dir())
	golden := filepath.Join("testdata", "state.golden")
	if *update {
		put(t, golden, []byte(got))
		log := realLog(t)
		ends := bounds(log)
		writeSeed(t, "FuzzParse", "every-kind-of-record", log)
		writeSeed(t, "FuzzParse", "lost-newline", append(append([]byte{}, log[:ends[3]-1]...), log[ends[3]:]...))
		writeSeed(t, "FuzzParse", "torn-end", log[:ends[4]+30])
		writeSeed(t, "FuzzOpenTask", "every-kind-of-record", log)
		writeSeed(t, "FuzzOpenTask", "two-accepts", append(append([]byte{}, log[:ends[1]]...), log...))
	}
	if diff := cmp.Diff(string(get(t, golden)), got); diff != "" {
		t.Errorf("state directory (-golden +now):\n%s", diff)
	}
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
