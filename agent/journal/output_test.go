package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"devserver-agent/protocol"
)

const mib = 1 << 20

// grow appends to an item's output and returns its path. What is appended is
// sparse: every MiB begins with its own number.
func grow(t *testing.T, task *Task, item int, size int64) string {
	t.Helper()
	file, err := os.OpenFile(task.OutputPath(item), os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	begin := task.OutputSize(item)
	for at := (begin + mib - 1) / mib * mib; at < begin+size; at += mib {
		_, err := file.WriteAt(fmt.Appendf(nil, "%08d", at/mib), at)
		must(t, err)
	}
	must(t, file.Truncate(begin+size))
	must(t, file.Close())
	return task.OutputPath(item)
}

func read(t *testing.T, task *Task, offset int64, limit int) (int64, string) {
	t.Helper()
	buf := make([]byte, limit)
	at, n, err := task.ReadOutput(0, offset, buf)
	must(t, err)
	return at, string(buf[:n])
}

func TestOutputIsReadFromAnyOffset(t *testing.T) {
	t.Parallel()
	task := admit(t, open(t, options(t.TempDir())), "task-1")
	if at, got := read(t, task, 0, 10); at != 0 || got != "" {
		t.Errorf("before there is any: %q at %d", got, at)
	}
	put(t, task.OutputPath(0), []byte("0123456789"))
	for _, c := range []struct {
		offset int64
		limit  int
		want   string
	}{{0, 4, "0123"}, {4, 100, "456789"}, {10, 4, ""}, {99, 4, ""}} {
		if at, got := read(t, task, c.offset, c.limit); at != c.offset || got != c.want {
			t.Errorf("read(%d, %d) gave %q at %d, want %q", c.offset, c.limit, got, at, c.want)
		}
	}
}

func TestAnOutputOverItsLimitKeepsItsHeadAndTail(t *testing.T) {
	t.Parallel()
	task := admit(t, open(t, options(t.TempDir())), "task-1")
	const head, tail = protocol.OutputHead / mib, protocol.OutputTail / mib
	path := grow(t, task, 0, 64*mib)
	if end, err := task.TrimOutput(0, 0); end != 0 || err != nil {
		t.Errorf("at its limit: TrimOutput gave %d, %v", end, err)
	}
	// As a program with its own descriptor goes on, MiB by MiB, with the agent
	// looking now and then and starting anew in between.
	punched, size := int64(0), int64(64*mib)
	for i := range 100 {
		grow(t, task, 0, mib)
		size += mib
		if i%7 == 0 {
			punched = 0
		}
		end, err := task.TrimOutput(0, punched)
		must(t, err)
		if want := size - protocol.OutputTail; end != want {
			t.Fatalf("the hole ends at %d, want %d", end, want)
		}
		punched = end
	}
	if got := task.OutputSize(0); got != size {
		t.Errorf("its length is %d, want %d: offsets must stay", got, size)
	}
	want := []protocol.ItemOutput{{Bytes: size, Dropped: 100 * mib}, {}}
	if diff := cmp.Diff(want, task.Outputs()); diff != "" {
		t.Errorf("extent (-want +got):\n%s", diff)
	}
	var stat unix.Stat_t
	must(t, unix.Stat(path, &stat))
	if stat.Blocks*512 > 1*mib { // the file is sparse: a block for each MiB that is kept
		t.Errorf("it holds %d bytes on disk", stat.Blocks*512)
	}
	for _, c := range []struct{ offset, at int64 }{
		{0, 0}, {(head - 1) * mib, (head - 1) * mib},
		{head * mib, 100*mib + head*mib}, {50 * mib, 100*mib + head*mib},
		{size - tail*mib, size - tail*mib}, {size - mib, size - mib},
	} {
		if at, got := read(t, task, c.offset, 8); at != c.at || got != fmt.Sprintf("%08d", c.at/mib) {
			t.Errorf("read(%d MiB) gave %q at %d, want it at %d", c.offset/mib, got, at, c.at)
		}
	}
	if at, got := read(t, task, head*mib-4, 100); at != head*mib-4 || len(got) != 4 {
		t.Errorf("a read at the head's end gave %d bytes at %d, want 4: the hole is not output", len(got), at)
	}
}

// Offsets never go back: what the broker has stays where it is, and what is
// missing is named.
func TestAnOutputThatLostBytesGoesOnWhereTheBrokerIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		has  int
		sent int64
		note string
	}{
		{"nothing lost", 100, 100, ""},
		{"more than was sent", 100, 60, ""},
		{"the end lost", 60, 100, "\n[the host lost the last 40 bytes it had written here]\n"},
		{"all lost", 0, 100, "\n[the host lost the last 100 bytes it had written here]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := admit(t, open(t, options(t.TempDir())), "task-1")
			put(t, task.OutputPath(0), bytes.Repeat([]byte("a"), c.has))
			must(t, task.SetCursor(func(cur *Cursor) { cur.SetSent(0, c.sent) }))
			for range 2 { // every replay prepares again
				must(t, task.PrepareOutput(0))
			}
			file, err := os.OpenFile(task.OutputPath(0), os.O_WRONLY|os.O_APPEND, 0)
			must(t, err)
			_, err = file.WriteString("next")
			must(t, errors.Join(err, file.Close()))
			from := max(c.sent, int64(c.has))
			if at, got := read(t, task, from, 1000); at != from || got != c.note+"next" {
				t.Errorf("after what the broker has: %q at %d, want %q at %d", got, at, c.note+"next", from)
			}
		})
	}
}
