package journal

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"devserver-agent/protocol"
)

// TestMain bounds the state machine, whose steps write files, unless it was told
// how often to run.
func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "rapid.checks" })
	if !told {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// known is what a task must answer, whatever happened to the process.
type known struct {
	Statuses []protocol.Status
	Memos    map[string]string
	Starts   []string
	Ends     map[string]Outcome
	Cancel   string
	Cursor   Cursor
	Open     bool
}

func (k *known) ended() bool {
	return len(k.Statuses) > 0 && k.Statuses[len(k.Statuses)-1].Status.Terminal()
}

// machine drives a store and, beside it, the simplest thing that behaves alike.
type machine struct {
	t     *testing.T
	store *Store
	model map[string]*known
	order []string // of admission
}

func TestTheStoreIsWhatItsModelSaysThroughAnyCrash(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		dir := inMemory(t)
		defer os.RemoveAll(dir)
		m := &machine{t: t, store: open(t, options(dir)), model: map[string]*known{}}
		r.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"admit":   m.admit,
			"say":     m.say,
			"memo":    m.memo,
			"start":   m.start,
			"end":     m.end,
			"cancel":  m.cancel,
			"deliver": m.deliver,
			"finish":  m.finish,
			"reopen":  m.reopen,
			"crash":   m.crash,
		})
		m.store.die()
	})
}

// inMemory is a folder where a sync costs nothing, since the crashes here are
// the process's own.
func inMemory(t *testing.T) string {
	t.Helper()
	parent := "/dev/shm"
	if unix.Access(parent, unix.W_OK) != nil {
		parent = t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "journal-machine-")
	must(t, err)
	return dir
}

// pick draws a task for which may holds; the action is skipped if there is none.
func (m *machine) pick(r *rapid.T, may func(*known) bool) (string, *Task, *known) {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(m.model)) {
		if may(m.model[id]) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		r.Skip("no task for it")
	}
	id := rapid.SampledFrom(ids).Draw(r, "task")
	return id, m.store.Open(id), m.model[id]
}

func isOpen(k *known) bool  { return k.Open }
func running(k *known) bool { return k.Open && !k.ended() }

func (m *machine) admit(r *rapid.T) {
	id := fmt.Sprint("task-", rapid.IntRange(0, 5).Draw(r, "id"))
	task, err := m.store.Admit(order(m.t, id))
	if m.model[id] != nil {
		if !errors.Is(err, ErrKnown) {
			r.Fatalf("Admit of a known task gave %v", err)
		}
		return
	}
	if err != nil {
		r.Fatal(err)
	}
	m.order = append(m.order, id)
	m.model[id] = &known{Open: true, Memos: map[string]string{}, Ends: map[string]Outcome{}, Statuses: []protocol.Status{task.Latest()}}
}

func (m *machine) say(r *rapid.T) {
	_, task, k := m.pick(r, isOpen)
	status := protocol.Status{Status: rapid.SampledFrom([]protocol.State{protocol.Processing, protocol.Success, protocol.Failed}).Draw(r, "state")}
	said, err := task.Say(status)
	switch {
	case k.ended():
		if !errors.Is(err, ErrEnded) || !cmp.Equal(said, k.Statuses[len(k.Statuses)-1]) {
			r.Fatalf("after the verdict Say gave %+v, %v", said, err)
		}
	case err != nil:
		r.Fatal(err)
	case said.Seq != len(k.Statuses)+1:
		r.Fatalf("status has number %d, want %d", said.Seq, len(k.Statuses)+1)
	default:
		k.Statuses = append(k.Statuses, said)
	}
}

func (m *machine) memo(r *rapid.T) {
	_, task, k := m.pick(r, running)
	name, value := fmt.Sprint("memo-", len(k.Memos)), fmt.Sprint(rapid.Int().Draw(r, "value"))
	if err := task.PutMemo(MemoRecord{Name: name, Value: []byte(value)}); err != nil {
		r.Fatal(err)
	}
	k.Memos[name] = value
}

func (m *machine) start(r *rapid.T) {
	_, task, k := m.pick(r, running)
	name := fmt.Sprint("step-", len(k.Starts))
	if err := task.PutStart(StartRecord{Step: name, Attempt: 1, Argv: []string{name}, Dir: "steps/0/01-" + name}); err != nil {
		r.Fatal(err)
	}
	k.Starts = append(k.Starts, name)
}

func (m *machine) end(r *rapid.T) {
	_, task, k := m.pick(r, func(k *known) bool { return k.Open && len(k.Starts) > len(k.Ends) })
	name := k.Starts[len(k.Ends)]
	outcome := rapid.SampledFrom([]Outcome{Exited, Interrupted, Abandoned, TimedOut}).Draw(r, "outcome")
	if err := task.PutEnd(EndRecord{Step: name, Attempt: 1, Outcome: outcome}); err != nil {
		r.Fatal(err)
	}
	k.Ends[name] = outcome
}

func (m *machine) cancel(r *rapid.T) {
	_, task, k := m.pick(r, isOpen)
	fresh, err := task.Cancel("deleted")
	if err != nil || fresh != (k.Cancel == "" && !k.ended()) {
		r.Fatalf("Cancel gave %v, %v", fresh, err)
	}
	if fresh {
		k.Cancel = "deleted"
	}
}

func (m *machine) deliver(r *rapid.T) {
	_, task, k := m.pick(r, isOpen)
	status := k.Statuses[rapid.IntRange(0, len(k.Statuses)-1).Draw(r, "status")]
	if err := task.Acknowledged(status); err != nil {
		r.Fatal(err)
	}
	k.Cursor.Seq = max(k.Cursor.Seq, status.Seq)
}

func (m *machine) finish(r *rapid.T) {
	_, task, k := m.pick(r, isOpen)
	err := m.store.Finish(task)
	if (err == nil) != k.ended() {
		r.Fatalf("Finish gave %v for a task that ended: %v", err, k.ended())
	}
	if k.ended() && k.Cursor.Seq == len(k.Statuses) {
		*k = known{Statuses: k.Statuses, Cursor: k.Cursor, Memos: map[string]string{}, Ends: map[string]Outcome{}}
	}
}

func (m *machine) reopen(r *rapid.T) {
	id, _, k := m.pick(r, func(*known) bool { return true })
	if err := m.store.Reopen(id); err != nil {
		r.Fatal(err)
	}
	k.Open, k.Cursor = true, Cursor{Round: k.Cursor.Round + 1}
}

// crash ends the process: in the middle of an append, of an admission, of a
// Finish, or between them.
func (m *machine) crash(r *rapid.T) {
	at := rapid.SampledFrom([]string{"anywhere", "append", "mark", "folder", "forget"}).Draw(r, "where")
	m.store.die()
	switch at {
	case "append":
		if len(m.model) > 0 {
			m.tear(r)
		}
	case "mark":
		put(m.t, m.store.mark("task-of-nobody"), nil)
	case "folder":
		put(m.t, m.store.mark("task-of-nobody"), nil)
		must(m.t, m.store.buildFolder(filepath.Join(m.store.temp(), "task-of-nobody"), order(m.t, "task-of-nobody")))
	case "forget":
		must(m.t, os.MkdirAll(filepath.Join(m.store.temp(), "task-0", "output"), 0o700))
	}
	m.store = open(m.t, m.store.opts)
}

// tear leaves a beginning of the next record at the end of an open task's log.
func (m *machine) tear(r *rapid.T) {
	_, task, _ := m.pick(r, isOpen)
	line, err := encode(m.store.stamp(Record{N: task.log.next, Cancel: &CancelRecord{Reason: "torn"}}, task.last))
	must(m.t, err)
	torn := line[:rapid.IntRange(0, len(line)-1).Draw(r, "torn")]
	file, err := os.OpenFile(task.path(), os.O_WRONLY|os.O_APPEND, 0)
	must(m.t, err)
	_, err = file.Write(torn)
	must(m.t, errors.Join(err, file.Close()))
}

// check compares all there is, as the agent and as a reader sees it.
func (m *machine) check(r *rapid.T) {
	var open []string
	for _, task := range m.store.AllOpen() {
		open = append(open, task.ID())
	}
	want := slices.DeleteFunc(slices.Clone(m.order), func(id string) bool { return !m.model[id].Open })
	if !slices.Equal(open, want) {
		r.Fatalf("open tasks are %v, want %v", open, want)
	}
	for id, k := range m.model {
		if task := m.store.Open(id); task != nil {
			if diff := cmp.Diff(*k, seen(task)); diff != "" {
				r.Fatalf("task %s (-want +got):\n%s", id, diff)
			}
		}
		view, err := ReadTask(m.store.Dir(), id)
		if err != nil {
			r.Fatal(err)
		}
		var statuses []protocol.Status
		for _, rec := range view.Statuses {
			statuses = append(statuses, rec.Status)
		}
		view.Cursor.VerdictAt = 0
		if view.Open != k.Open || !cmp.Equal(statuses, k.Statuses) || !cmp.Equal(view.Cursor, k.Cursor) {
			r.Fatalf("a reader sees of task %s %+v, want %+v", id, view, *k)
		}
	}
	if _, err := ReadTask(m.store.Dir(), "task-of-nobody"); !errors.Is(err, ErrUnknown) {
		r.Fatalf("a task that was never accepted is there: %v", err)
	}
	marks, err := os.ReadDir(filepath.Join(m.store.Dir(), "open"))
	if err != nil || len(marks) != len(want) {
		r.Fatalf("%d marks, %v; want %d", len(marks), err, len(want))
	}
	if _, err := os.Stat(m.store.folder("task-of-nobody")); !errors.Is(err, fs.ErrNotExist) {
		r.Fatal("its folder is there")
	}
}

func seen(task *Task) known {
	k := known{Open: true, Memos: map[string]string{}, Ends: map[string]Outcome{}, Cursor: task.Cursor()}
	k.Cursor.VerdictAt = 0
	for _, rec := range task.Statuses() {
		k.Statuses = append(k.Statuses, rec.Status)
	}
	for i := range task.memos {
		value, _ := task.Memo(i.item, i.name)
		k.Memos[i.name] = string(value)
	}
	for _, start := range task.Starts() {
		k.Starts = append(k.Starts, start.Step)
		for _, attempt := range task.Attempts(start.Item, start.Step) {
			if attempt.End != nil {
				k.Ends[start.Step] = attempt.End.Outcome
			}
		}
	}
	if c := task.Cancelled(); c != nil {
		k.Cancel = c.Reason
	}
	return k
}
