package inbox_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/agent/inbox"
	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/trial"
)

const server = "srv-1"

var (
	trusted = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
	foreign = ed25519.NewKeyFromSeed([]byte("fedcba9876543210fedcba9876543210"))
)

// bed is an inbox over a real store, and what it was told to do.
type bed struct {
	t     testing.TB
	dir   string
	store *journal.Store
	in    *inbox.Inbox
	close func()

	keyring  protocol.Keyring
	mu       sync.Mutex
	accepted []string
	cancels  []string
	notices  []protocol.Notice
	epochs   []string
}

func newBed(t testing.TB, fetcher inbox.Fetcher) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), keyring: protocol.Keyring{Keys: []protocol.Trusted{{Key: protocol.KeyOf(trusted)}}}}
	b.open(fetcher)
	return b
}

func (b *bed) open(fetcher inbox.Fetcher) {
	b.t.Helper()
	store, err := journal.Open(journal.Options{Dir: b.dir, ServerID: server, Version: "test", BootID: "boot"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.close = sync.OnceFunc(func() {
		if err := store.Close(); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(b.close)
	b.store = store
	b.in = inbox.New(inbox.Options{
		ServerID: server, Keyring: b.keyring,
		Registry: executors.NewRegistry(map[string]executors.Executor{"ONE": one{}, trial.Type: trial.Executor{}}),
		Store:    store, Fetcher: fetcher,
		Accepted:  func(t *journal.Task) { b.note(func() { b.accepted = append(b.accepted, t.ID()) }) },
		Cancelled: func(t *journal.Task) { b.note(func() { b.cancels = append(b.cancels, t.ID()) }) },
		Notice:    func(n protocol.Notice) { b.note(func() { b.notices = append(b.notices, n) }) },
		SawEpoch:  func(epoch string) { b.note(func() { b.epochs = append(b.epochs, epoch) }) },
	})
}

func (b *bed) note(what func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what()
}

// one is an item type with one parameter.
type one struct{}

func (one) Execute(context.Context, executors.Host, executors.Spec) (executors.Result, error) {
	return executors.Result{}, nil
}

func (one) Describe() protocol.ItemType {
	return protocol.ItemType{TimeoutSeconds: 1, Params: []protocol.Param{
		{Name: "version", Required: true, Pattern: `[0-9a-z.]{1,16}`}, {Name: "note", Pattern: `.*`}}}
}

// task is one that fits, issued now.
func task(id string, change ...func(*protocol.Task)) protocol.Task {
	t := protocol.Task{
		TaskID: id, JobID: "job-1", ServerID: server, Type: "COMMON",
		Items:    []protocol.Item{{Type: "ONE", Spec: map[string]string{"version": "24.1"}}},
		IssuedAt: protocol.Millis(time.Now()), ExpiresAt: protocol.Millis(time.Now().Add(time.Hour)),
	}
	for _, c := range change {
		c(&t)
	}
	return t
}

func cancel(id string) protocol.Cancel {
	return protocol.Cancel{TaskID: id, ServerID: server, ExpiresAt: protocol.Millis(time.Now().Add(time.Hour)), Reason: "job deleted"}
}

// sealed keeps what was sealed before: with the race detector a signature takes
// many milliseconds.
var sealed sync.Map

func seal(t testing.TB, statement any) protocol.Envelope {
	t.Helper()
	key := fmt.Sprintf("%T %+v", statement, statement)
	if e, ok := sealed.Load(key); ok {
		return e.(protocol.Envelope)
	}
	e, err := protocol.Seal(trusted, statement)
	if err != nil {
		t.Fatal(err)
	}
	sealed.Store(key, e)
	return e
}

// signed is an envelope of any payload, of any size.
func signed(key ed25519.PrivateKey, payloadType string, payload []byte) protocol.Envelope {
	e := protocol.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload)}
	sig := ed25519.Sign(key, protocol.SignedBytes(payloadType, payload))
	e.Signatures = []protocol.Signature{{KeyID: protocol.KeyOf(key).ID(), Sig: base64.StdEncoding.EncodeToString(sig)}}
	return e
}

func box(t testing.TB, statements ...any) []byte {
	t.Helper()
	m := struct {
		protocol.Mailbox
		Statements []any `json:"statements"`
	}{Mailbox: protocol.Mailbox{ServerID: server, Epoch: "e1"}, Statements: []any{}}
	for _, s := range statements {
		switch s := s.(type) {
		case protocol.Task, protocol.Cancel, protocol.Resend:
			m.Statements = append(m.Statements, seal(t, s))
		default:
			m.Statements = append(m.Statements, s)
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// receive merges a mailbox of these statements.
func (b *bed) receive(statements ...any) {
	b.t.Helper()
	b.merge(box(b.t, statements...))
}

func (b *bed) merge(raw []byte) {
	b.t.Helper()
	if err := b.in.Receive(raw, time.Now()); err != nil {
		b.t.Fatal(err)
	}
}

// known are the ids of all tasks that the journal has.
func (b *bed) known() []string {
	b.t.Helper()
	ids, err := b.store.IDs()
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

// said empties the notices: code, task and count of each.
func (b *bed) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, n := range b.notices {
		out = append(out, fmt.Sprintf("%s %s %d", n.Code, n.TaskID, n.Count))
	}
	b.notices = nil
	return out
}

func (b *bed) latest(id string) protocol.Status {
	b.t.Helper()
	view, err := journal.ReadTask(b.dir, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return view.Latest()
}

func want(t testing.TB, what string, got, wanted any) {
	t.Helper()
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestATaskIsOnDiskBeforeItIsTold(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	t1, t2 := task("t1"), task("t2")
	b.receive(t1, t2)
	want(t, "accepted", b.accepted, []string{"t1", "t2"})
	status := b.latest("t1")
	if status.Status != protocol.Processing || status.Phase != protocol.Accepted || status.Seq != 1 || status.JobID != "job-1" {
		t.Errorf("first status is %+v", status)
	}
	envelope, err := b.store.Open("t1").Envelope()
	if err != nil || envelope == nil || protocol.Digest(*envelope) != b.store.Open("t1").Accepted().Digest {
		t.Errorf("envelope is %+v, %v", envelope, err)
	}
	want(t, "epochs", b.epochs, []string{"e1"})
	for range 3 {
		b.receive(t2, t1)
	}
	want(t, "accepted", b.accepted, []string{"t1", "t2"})
}

func TestACancelBeatsItsTaskWheneverThatComes(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	b.receive(cancel("t1"))
	b.receive(task("t1"))
	b.receive(task("t2"), cancel("t2")) // in one mailbox
	want(t, "accepted", b.accepted, []string(nil))
	for _, id := range []string{"t1", "t2"} {
		s := b.latest(id)
		if s.Status != protocol.Deleted || s.Code != protocol.TaskCancelled || s.Seq != 1 || !strings.Contains(s.Message, "job deleted") {
			t.Errorf("the tombstone of %s says %+v", id, s)
		}
	}
	b.receive(protocol.Cancel{TaskID: "t4", ServerID: server, ExpiresAt: protocol.Millis(time.Now().Add(time.Hour))})
	if s := b.latest("t4"); !strings.Contains(s.Message, "(no reason was given)") {
		t.Errorf("a cancel without a reason says %q", s.Message)
	}
	t3 := task("t3")
	b.receive(t3)
	b.receive(cancel("t3"))
	b.receive(cancel("t3"), t3)
	want(t, "accepted", b.accepted, []string{"t3"})
	want(t, "cancelled", b.cancels, []string{"t3"})
	if c := b.store.Open("t3").Cancelled(); c == nil || c.Reason != "job deleted" {
		t.Errorf("the cancel on disk is %+v", c)
	}
	want(t, "notices", b.said(), []string(nil))
}

func TestATaskThatSomebodyHadIsNotStarted(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	own := b.store.Installation().ID
	raw := box(t, task("t1"), task("t2"), task("t3"))
	raw = append(raw[:len(raw)-1], fmt.Sprintf(`,"accepted_by":{"t1":"other","t2":%q}}`, own)...)
	b.merge(raw)
	for id, by := range map[string]string{"t1": "other", "t2": own, "t3": ""} {
		if got := b.store.Open(id).Accepted().Replaced; got != by {
			t.Errorf("%s was accepted by %q before, says the journal; want %q", id, got, by)
		}
	}
	want(t, "accepted", b.accepted, []string{"t1", "t2", "t3"}) // the engine says the verdict
}

// acknowledge has the broker have all of a task.
func (b *bed) acknowledge(id string, at time.Time) {
	b.t.Helper()
	task := b.store.Open(id)
	seq := task.Latest().Seq
	err := task.SetCursor(func(c *journal.Cursor) {
		c.Seq, c.VerdictAt = seq, protocol.Millis(at)
		c.SetSent(0, 42)
	})
	if err == nil {
		err = b.store.Finish(task)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) end(id string) {
	b.t.Helper()
	if _, err := b.store.Open(id).Say(protocol.Status{Status: protocol.Success, Phase: protocol.Done}); err != nil {
		b.t.Fatal(err)
	}
}

func TestAVerdictThatIsStillListedIsSaidAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		acked time.Duration // ago
		again bool
	}{
		"not within a minute":             {30 * time.Second, false},
		"after a minute":                  {2 * time.Minute, true},
		"when the clock went back a year": {-365 * 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			done := task("done")
			b.receive(done, cancel("tomb"))
			b.end("done")
			for _, id := range []string{"done", "tomb"} {
				b.acknowledge(id, time.Now().Add(-test.acked))
			}
			b.receive(done, cancel("tomb"))
			for _, id := range []string{"done", "tomb"} {
				open := b.store.Open(id)
				if (open != nil) != test.again {
					t.Fatalf("%s is open: %v", id, open != nil)
				}
				if open == nil {
					continue
				}
				if c := open.Cursor(); c.Seq != 0 || c.Round != 1 || c.VerdictAt != 0 || c.Sent(0) != 42 {
					t.Errorf("the cursor of %s is %+v", id, c)
				}
			}
			want(t, "accepted", b.accepted, []string{"done"})
		})
	}
}

// Its output may be refused for days; the verdict must get through.
func TestAVerdictIsSaidAgainAlthoughItsOutputIsNotComplete(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	done := task("done")
	b.receive(done)
	b.end("done")
	open := b.store.Open("done")
	err := open.SetCursor(func(c *journal.Cursor) { c.Seq, c.VerdictAt = 2, protocol.Millis(time.Now().Add(-time.Hour)) })
	if err != nil {
		t.Fatal(err)
	}
	b.receive(done)
	if c := open.Cursor(); c.Seq != 0 || c.Round != 1 {
		t.Errorf("the cursor is %+v", c)
	}
	b.receive(done)
	if c := open.Cursor(); c.Round != 1 {
		t.Errorf("it is said again before it was said: %+v", c)
	}
}

func TestAResendIsObeyedOnceAMinute(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	b.receive(task("t1"))
	b.end("t1")
	b.acknowledge("t1", time.Now())
	request := protocol.Resend{TaskID: "t1", ServerID: server, From: 7}
	b.receive(request)
	if c := b.store.Open("t1").Cursor(); c.Sent(0) != 7 || c.Seq != 2 {
		t.Errorf("the cursor is %+v", c)
	}
	b.acknowledge("t1", time.Now())
	b.receive(request)
	if b.store.Open("t1") != nil {
		t.Error("it was obeyed twice within a minute")
	}
	b.receive(protocol.Resend{TaskID: "t1", ServerID: server, Item: 3}, protocol.Resend{TaskID: "t1", ServerID: server, From: -1})
	want(t, "notices", b.said(), []string{"UNPARSABLE t1 1", "UNPARSABLE t1 1"})
}
