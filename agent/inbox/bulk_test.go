package inbox_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/inbox"
	"devserver-agent/protocol"
)

// cpu is the time this process has worked.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// heap watches how large the heap becomes while something runs.
func heap(run func()) (grown uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before, most := read(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				most = max(most, read())
			case <-stop:
				return
			}
		}
	}()
	run()
	close(stop)
	<-stopped
	return max(most, before) - before
}

// many is a mailbox of n tasks and two cancels among them.
func many(t testing.TB, key ed25519.PrivateKey, n int) []byte {
	t.Helper()
	var statements []any
	add := func(statement any) {
		e, err := protocol.Seal(key, statement)
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, e)
	}
	for i := range n {
		add(task(fmt.Sprintf("t%d", i)))
	}
	add(cancel(fmt.Sprintf("t%d", n/2)))
	add(cancel("t0"))
	return box(t, statements...)
}

// BenchmarkReceive merges a mailbox of ten thousand into a host that is full.
func BenchmarkReceive(b *testing.B) {
	raw := many(b, trusted, 10_000)
	bed := newBed(b, nil)
	bed.merge(raw)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		bed.merge(raw)
	}
}

func TestAMailboxOfTenThousandCostsLittle(t *testing.T) {
	const all = 10_000
	raw := many(t, nil, all)
	b := &bed{t: t, dir: t.TempDir(), keyring: protocol.Keyring{AllowUnsigned: true}} // what a signature costs is in the benchmark
	b.open(nil)
	began := cpu(t)
	grown := heap(func() { b.merge(raw) })
	took := cpu(t) - began
	t.Logf("%d statements, %d MB: %s of cpu, heap grew by %d MB", all, len(raw)>>20, took, grown>>20)
	if took > 20*time.Second {
		t.Errorf("it took %s of cpu", took)
	}
	if limit := uint64(len(raw)) + 16<<20; grown > limit {
		t.Errorf("the heap grew by %d bytes beside the mailbox of %d", grown, len(raw))
	}
	if len(b.accepted) != protocol.MaxOpenTasks-2 { // two tombstones count until the broker has them
		t.Errorf("%d tasks were accepted", len(b.accepted))
	}
	want(t, "notices", b.said(), []string{fmt.Sprintf("TOO_MANY_TASKS t63 %d", all-protocol.MaxOpenTasks)})
}

func TestAFullHostTakesTheRestInTurns(t *testing.T) {
	t.Parallel()
	raw := many(t, trusted, protocol.MaxOpenTasks+30)
	b := newBed(t, nil)
	b.merge(raw)
	if len(b.accepted) != protocol.MaxOpenTasks-2 {
		t.Errorf("%d tasks were accepted", len(b.accepted))
	}
	b.acknowledge("t47", time.Now())
	b.end("t1") // its verdict is not acknowledged: it still counts
	b.end("t2")
	b.acknowledge("t2", time.Now())
	b.merge(raw)
	if len(b.accepted) != protocol.MaxOpenTasks {
		t.Errorf("%d tasks were accepted", len(b.accepted))
	}
	if b.store.Open("t47") != nil || b.latest("t47").Status != protocol.Deleted {
		t.Error("a cancelled task came back")
	}
}

func TestAFloodOfBadStatementsIsCounted(t *testing.T) {
	t.Parallel()
	var statements []any
	for n := range 300 {
		e, err := protocol.Seal(nil, task(fmt.Sprintf("t%d", n)))
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, e)
	}
	b := newBed(t, nil)
	b.receive(append(statements, task("good"))...)
	want(t, "accepted", b.accepted, []string{"good"})
	want(t, "known", b.known(), []string{"good"})
	sum := 0
	for _, n := range b.notices {
		sum += n.Count
	}
	if len(b.notices) > 100 || sum != 300 {
		t.Errorf("%d notices stand for %d statements", len(b.notices), sum)
	}
}

// What is only said again to a broker that forgot must not keep work away.
func TestTasksThatAreSaidAgainTakeNoRoom(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	for n := range protocol.MaxOpenTasks + 6 {
		id := fmt.Sprintf("old%d", n)
		b.receive(task(id))
		b.end(id)
		b.acknowledge(id, time.Now())
	}
	for n := range protocol.MaxOpenTasks + 6 {
		if err := b.store.Reopen(fmt.Sprintf("old%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	b.receive(task("new"))
	want(t, "notices", b.said(), []string(nil))
	if b.accepted[len(b.accepted)-1] != "new" {
		t.Error("the new task was not accepted")
	}
}

// answers is a broker's side that a test decides; a real one has no place in
// time that is made up.
type answers struct {
	mu   sync.Mutex
	next func() ([]byte, time.Time, error)
	at   []time.Duration
	from time.Time
}

func (a *answers) Fetch(context.Context) ([]byte, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, time.Since(a.from).Round(time.Millisecond))
	return a.next()
}

func (a *answers) answer(next func() ([]byte, time.Time, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next, a.at, a.from = next, nil, time.Now()
}

func (a *answers) times() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]time.Duration(nil), a.at...)
}

func away() ([]byte, time.Time, error) { return nil, time.Time{}, broker.ErrAway }
func none() ([]byte, time.Time, error) { return nil, time.Time{}, broker.ErrNoMailbox }

// polled runs an inbox in made-up time.
func polled(t *testing.T, test func(t *testing.T, b *bed, a *answers)) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{}
		a.answer(none)
		b := newBed(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.in.Run(ctx) }()
		synctest.Wait()
		test(t, b, a)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func sleep(d time.Duration) {
	<-time.After(d) // made-up time
	synctest.Wait()
}

func TestTheMailboxIsReadOnConnectSoonAfterAndNowAndThen(t *testing.T) {
	polled(t, func(t *testing.T, b *bed, a *answers) {
		a.answer(func() ([]byte, time.Time, error) { return box(t, task("t1")), time.Time{}, nil })
		b.in.Connected()
		sleep(time.Hour)
		at := a.times()
		if len(at) < 8 || at[0] != 0 {
			t.Fatalf("it was read at %v", at)
		}
		if at[1] < 30*time.Second || at[1] > time.Minute {
			t.Errorf("the second read was after %s", at[1])
		}
		for n := 2; n < len(at); n++ {
			if pause := at[n] - at[n-1]; pause < 150*time.Second || pause > 450*time.Second {
				t.Errorf("between two reads there are %s", pause)
			}
		}
		if b.accepted[0] != "t1" {
			t.Errorf("accepted %v", b.accepted)
		}
	})
}

func TestABrokerThatDoesNotAnswerIsAskedAgainLessAndLess(t *testing.T) {
	polled(t, func(t *testing.T, b *bed, a *answers) {
		a.answer(away)
		b.in.Connected()
		sleep(5 * time.Minute)
		at := a.times()
		if len(at) < 10 || len(at) > 20 {
			t.Errorf("it was asked %d times in 5 minutes: %v", len(at), at)
		}
		a.answer(away)
		b.in.Connected()
		sleep(time.Second)
		if at := a.times(); len(at) < 2 || at[0] != 0 {
			t.Errorf("after a new connect it was asked at %v", at)
		}
		a.answer(none)
		b.in.Connected()
		sleep(time.Minute)
		// Also a connect in the middle of asking is followed by a second read.
		if at := a.times(); len(at) != 2 || at[0] != 0 || at[1] < 30*time.Second {
			t.Errorf("once it answers it was asked at %v", at)
		}
		if b.epochs[0] != broker.NoMailbox {
			t.Errorf("epochs are %v", b.epochs)
		}
	})
}

func TestWhatWaitsInTheMailboxIsTakenSoonAfterThereIsRoom(t *testing.T) {
	polled(t, func(t *testing.T, b *bed, a *answers) {
		var statements []any
		for n := range protocol.MaxOpenTasks + 10 {
			statements = append(statements, task(fmt.Sprintf("t%d", n)))
		}
		raw := box(t, statements...)
		stored := func() ([]byte, time.Time, error) { return raw, time.Time{}, nil }
		a.answer(stored)
		b.merge(raw) // a push
		sleep(20 * time.Second)
		if at := a.times(); len(at) > 0 {
			t.Errorf("without room it was read at %v", at)
		}
		for n := range 10 {
			id := fmt.Sprintf("t%d", n)
			b.end(id)
			b.acknowledge(id, time.Now())
		}
		a.answer(stored)
		sleep(5 * time.Second)
		if len(b.accepted) != len(statements) {
			t.Errorf("%d of %d were accepted", len(b.accepted), len(statements))
		}
		sleep(time.Minute)
		if at := a.times(); len(at) > 1 {
			t.Errorf("with nothing left it was read at %v", at)
		}
	})
}

func TestOnAFullDiskTasksWaitInTheMailbox(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	b.receive(task("first"))
	b.close()
	// A disk counts as full while the reserve cannot be made.
	reserve := filepath.Join(b.dir, "reserve")
	if err := errors.Join(os.Remove(reserve), os.MkdirAll(filepath.Join(reserve, "in the way"), 0o700)); err != nil {
		t.Fatal(err)
	}
	b.open(nil)
	b.receive(task("t1"), task("t2"), cancel("t3"), cancel("first"))
	want(t, "known", b.known(), []string{"first"})
	want(t, "cancelled", b.cancels, []string{"first"})
	want(t, "notices", b.said(), []string{"DISK_FULL t3 3"})
	if err := os.RemoveAll(reserve); err != nil {
		t.Fatal(err)
	}
	b.receive(task("t1"), task("t2"), cancel("t3"))
	want(t, "known", b.known(), []string{"first", "t1", "t2", "t3"})
}

func TestAHostWhoseClockIsBehindKnowsWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is the year 2000
		b := newBed(t, nil)
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		at := func(issued, expires time.Duration) func(*protocol.Task) {
			return func(t *protocol.Task) {
				t.IssuedAt, t.ExpiresAt = protocol.Millis(now.Add(issued)), protocol.Millis(now.Add(expires))
			}
		}
		if got := b.in.Newest(); !got.IsZero() {
			t.Errorf("before anybody said anything the newest time is %s", got)
		}
		// Whatever the order in the mailbox: the other task's date tells the time.
		if err := b.in.Receive(box(t, task("late", at(-2*time.Hour, -time.Hour)), task("good", at(0, time.Hour))), time.Time{}); err != nil {
			t.Fatal(err)
		}
		want(t, "accepted", b.accepted, []string{"good"})
		if s := b.latest("late"); s.Code != protocol.TaskExpired {
			t.Errorf("the late task has %+v", s)
		}
		if got := b.in.Now(); !got.Equal(now) {
			t.Errorf("the time is %s", got)
		}
		sleep(2 * time.Hour)
		b.receive(task("later", at(0, time.Hour)))
		if s := b.latest("later"); s.Code != protocol.TaskExpired {
			t.Errorf("a task that came after it expired has %+v", s)
		}
		if err := b.in.Receive(box(t), now.Add(-24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := b.in.Newest(); !got.Equal(now.Add(2 * time.Hour)) {
			t.Errorf("an older mailbox makes it %s", got)
		}
	})
}

func TestAHostWhoseClockIsAheadSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is the year 2000
		b := newBed(t, nil)
		then := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := b.in.Receive(box(t, task("t1", func(t *protocol.Task) {
			t.IssuedAt, t.ExpiresAt = protocol.Millis(then), protocol.Millis(then.Add(time.Hour))
		})), then); err != nil {
			t.Fatal(err)
		}
		s := b.latest("t1")
		if want := "The task came at 2000-01-01T00:00:00Z and had expired at 1999-01-01T01:00:00Z. That is by this host's clock; the newest time it was told is 1999-01-01T00:00:00Z. If the clock is wrong, correct it and create the job again. Nothing was started on this host."; s.Code != protocol.TaskExpired || s.Message != want {
			t.Errorf("verdict is %s %q", s.Code, s.Message)
		}
	})
}

var _ inbox.Fetcher = &answers{}
