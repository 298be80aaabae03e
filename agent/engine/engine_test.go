package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"devserver-agent/agent/engine"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/queue"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
	"devserver-agent/test/trial"
)

// TestMain is the test, the shim, or a step's program. The latter two end
// without os.Exit, which takes a second in a build with the race detector.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "step" {
		if err := step.Shim(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			syscall.Exit(1)
		}
		syscall.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == trial.Arg {
		syscall.Exit(trial.Program(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// script is an executor made for one test.
type script struct {
	execute func(context.Context, executors.Host) (executors.Result, error)
	shared  bool
	timeout time.Duration // 0: a minute
}

func (s script) Execute(ctx context.Context, host executors.Host, _ executors.Spec) (executors.Result, error) {
	return s.execute(ctx, host)
}

func (s script) Describe() protocol.ItemType {
	t := protocol.ItemType{Template: "COMMON", Exclusive: !s.shared, TimeoutSeconds: 60}
	if s.timeout > 0 {
		t.TimeoutSeconds = int64(s.timeout / time.Second)
	}
	return t
}

// bed is a state directory on which one agent's engine after another runs.
type bed struct {
	t      *testing.T
	dir    string
	boot   string
	starts string
	self   string
	types  map[string]executors.Executor
	change func(*engine.Options)

	store    *journal.Store
	queue    *queue.Queue
	engine   *engine.Engine
	stop     context.CancelFunc
	mu       sync.Mutex
	progress []protocol.Status
}

func newBed(t *testing.T, types map[string]executors.Executor) *bed {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &bed{t: t, dir: filepath.Join(dir, "state"), boot: "boot-1", starts: filepath.Join(dir, "starts"), self: self, types: types}
	t.Cleanup(b.halt)
	return b
}

// run starts an agent: it opens the state and takes up what is open.
func (b *bed) run() *bed {
	b.t.Helper()
	b.open()
	b.queue = &queue.Queue{}
	opts := engine.Options{
		Store: b.store, Queue: b.queue, Registry: executors.NewRegistry(b.types),
		Surroundings: step.Process{Shim: []string{b.self, "step"}}, Boot: b.boot,
		Retry: 50 * time.Millisecond, Look: 50 * time.Millisecond,
		Progress: func(s protocol.Status) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.progress = append(b.progress, s)
		},
	}
	if b.change != nil {
		b.change(&opts)
	}
	b.engine = engine.New(opts)
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	b.engine.Start(ctx)
	b.engine.Resume()
	return b
}

func (b *bed) open() {
	b.t.Helper()
	wait.For(b.t, "the state directory is free", func() bool {
		// A child that another test is just forking has the lock for a moment.
		store, err := journal.Open(journal.Options{Dir: b.dir, ServerID: "srv-1", Version: "test", BootID: b.boot})
		if err != nil && !errors.Is(err, journal.ErrLocked) {
			b.t.Fatal(err)
		}
		b.store = store
		return err == nil
	})
}

// halt stops the agent; programs run on.
func (b *bed) halt() {
	b.t.Helper()
	if b.stop != nil {
		b.stop()
		if err := b.engine.Wait(); err != nil {
			b.t.Errorf("engine: %v", err)
		}
		b.stop = nil
	}
	if b.store != nil {
		if err := b.store.Close(); err != nil {
			b.t.Errorf("close the store: %v", err)
		}
		b.store = nil
	}
}

// restart is a new agent in place of the one that runs.
func (b *bed) restart() {
	b.t.Helper()
	b.halt()
	b.run()
}

type accept func(*journal.AcceptRecord)

// admit puts a task with items of the given types into the journal.
func (b *bed) admit(id string, types []string, change ...accept) *journal.Task {
	b.t.Helper()
	task := &protocol.Task{TaskID: id, JobID: "job-" + id, ServerID: "srv-1", Type: "COMMON"}
	for _, name := range types {
		task.Items = append(task.Items, protocol.Item{Type: name})
	}
	record := journal.AcceptRecord{Digest: "d", ExpiresAt: protocol.Millis(time.Now().Add(time.Hour)), Task: task}
	for _, c := range change {
		c(&record)
	}
	t, err := b.store.Admit(journal.Admission{ID: id, Accept: record, First: protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted, Message: "Accepted."}})
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

// submit admits a task and has it run.
func (b *bed) submit(id string, types ...string) *journal.Task {
	b.t.Helper()
	t := b.admit(id, types)
	b.engine.Submit(t)
	return t
}

// cancel does what the inbox does with a cancel.
func (b *bed) cancel(t *journal.Task) {
	b.t.Helper()
	if _, err := t.Cancel("no longer wanted"); err != nil {
		b.t.Fatal(err)
	}
	b.engine.Cancel(t)
}

func (b *bed) verdict(id string) protocol.Status {
	b.t.Helper()
	var latest protocol.Status
	wait.For(b.t, "task "+id+" has its verdict", func() bool {
		t := b.store.Open(id)
		if t == nil {
			return false
		}
		latest = t.Latest()
		return latest.Status.Terminal()
	})
	return latest
}

// until waits for a condition.
// begun waits until a step's program was started n times.
func (b *bed) begun(name string, n int) {
	b.t.Helper()
	wait.For(b.t, fmt.Sprintf("step %s was started %d times", name, n), func() bool { return b.count(name) >= n })
}

func (b *bed) count(name string) int {
	b.t.Helper()
	starts, err := trial.Starts(b.starts)
	if err != nil {
		b.t.Fatal(err)
	}
	return starts[name]
}

func (b *bed) wantCount(name string, n int) {
	b.t.Helper()
	if got := b.count(name); got != n {
		b.t.Errorf("the program of step %s was started %d times, want %d", name, got, n)
	}
}

// gate is the name of a file that a program waits for.
func (b *bed) gate(name string) string { return filepath.Join(filepath.Dir(b.dir), "gate-"+name) }

func (b *bed) openGate(name string) {
	b.t.Helper()
	if err := os.WriteFile(b.gate(name), nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// command is a step that runs a trial program; a kind of gate waits for
// openGate(name).
func (b *bed) command(name, kind string) executors.Command {
	grace := 20 * time.Second
	if strings.HasPrefix(kind, "deaf") {
		grace = 100 * time.Millisecond
	}
	if strings.HasSuffix(kind, "gate") {
		kind += ":" + b.gate(name)
	}
	return executors.Command{Step: name, Argv: []string{b.self, trial.Arg, b.starts, name, kind}, Kill: executors.KillTree, Grace: grace}
}

// steps is an executor that takes steps one after the other.
func (b *bed) steps(cmds ...executors.Command) func(context.Context, executors.Host) (executors.Result, error) {
	return func(ctx context.Context, host executors.Host) (executors.Result, error) {
		for _, cmd := range cmds {
			if _, err := host.Command(ctx, cmd); err != nil {
				return executors.Result{}, err
			}
		}
		return executors.Result{Message: fmt.Sprintf("%d steps done", len(cmds))}, nil
	}
}

func wantVerdict(t *testing.T, got protocol.Status, state protocol.State, code protocol.Code, parts ...string) {
	t.Helper()
	if got.Status != state || got.Code != code {
		t.Errorf("verdict is %s %s (%s), want %s %s", got.Status, got.Code, got.Message, state, code)
	}
	for _, part := range parts {
		if !strings.Contains(got.Message, part) {
			t.Errorf("verdict does not say %q: %s", part, got.Message)
		}
	}
}

// wantEnded checks that nothing of the task was left running unnoticed.
func wantEnded(t *testing.T, task *journal.Task) {
	t.Helper()
	for _, start := range task.Starts() {
		for _, a := range task.Attempts(start.Item, start.Step) {
			if a.End == nil {
				t.Errorf("attempt %d at step %s has no end although its task has a verdict", a.Attempt, a.Step)
			}
		}
	}
}

// killStep kills everything of a running attempt, its shim first, as a power
// cut does.
func (b *bed) killStep(task *journal.Task, name string) {
	b.t.Helper()
	attempts := task.Attempts(0, name)
	dir := filepath.Join(task.Dir(), attempts[len(attempts)-1].Dir)
	started, err := step.ReadStarted(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	shim, err := os.FindProcess(started.PID)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := errors.Join(shim.Kill(), step.Attempt{Dir: dir, Boot: started.Boot}.KillAll()); err != nil {
		b.t.Fatal(err)
	}
}
