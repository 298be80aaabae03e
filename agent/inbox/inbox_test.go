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
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

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
	b := &bed{t: t, dir: t.TempDir(), keyring: protocol.Keyring{Keys: []protocol.Key{protocol.KeyOf(trusted)}}}
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

func seal(t testing.TB, statement any) protocol.Envelope {
	t.Helper()
	e, err := protocol.Seal(trusted, statement)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// signed is an envelope of any payload, of any size.
func signed(key ed25519.PrivateKey, payloadType string, payload []byte) protocol.Envelope {
	e := protocol.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload)}
	sig := ed25519.Sign(key, dsse.PAE(payloadType, payload))
	e.Signatures = []dsse.Signature{{KeyID: protocol.KeyOf(key).ID(), Sig: base64.StdEncoding.EncodeToString(sig)}}
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

func TestWhatIsRefusedCausesNoRecordAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	big := task("big")
	for n := range protocol.MaxSpecKeys {
		big.Items[0].Spec[fmt.Sprintf("p%d", n)] = strings.Repeat("x", 1000)
	}
	payload := func(v any) []byte {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	unsigned := seal(t, task("unsigned"))
	unsigned.Signatures = nil
	changed := seal(t, task("changed"))
	changed.Payload = seal(t, task("changed2")).Payload
	for name, test := range map[string]struct {
		statement any
		code      protocol.Code
		id        string // in the notice
	}{
		"not signed":                {unsigned, protocol.NoticeUnsigned, ""},
		"signed by a stranger":      {signed(foreign, protocol.TaskPayload, payload(task("x"))), protocol.NoticeUnknownKey, ""},
		"changed on its way":        {changed, protocol.NoticeSignature, ""},
		"for another server":        {seal(t, task("x", func(t *protocol.Task) { t.ServerID = "srv-2" })), protocol.NoticeWrongServer, "x"},
		"a cancel for another":      {seal(t, protocol.Cancel{TaskID: "x", ServerID: "srv-2"}), protocol.NoticeWrongServer, "x"},
		"of another version":        {signed(trusted, "application/vnd.devserver.task.v2+json", payload(task("x"))), protocol.NoticePayloadType, ""},
		"no JSON inside":            {signed(trusted, protocol.TaskPayload, []byte("task_id: x")), protocol.NoticeUnparsable, ""},
		"no base64":                 {protocol.Envelope{PayloadType: protocol.TaskPayload, Payload: "!", Signatures: unsigned.Signatures}, protocol.NoticeUnparsable, ""},
		"too large":                 {signed(trusted, protocol.TaskPayload, payload(big)), protocol.NoticeTooLarge, ""},
		"no envelope":               {"surprise", protocol.NoticeUnparsable, ""},
		"nothing":                   {nil, protocol.NoticeUnsigned, ""},
		"an id that is a wildcard":  {signed(trusted, protocol.TaskPayload, payload(task(">"))), protocol.NoticeUnparsable, ""},
		"an id that is a path":      {signed(trusted, protocol.TaskPayload, payload(task("../../x"))), protocol.NoticeUnparsable, ""},
		"a cancel of a path":        {signed(trusted, protocol.CancelPayload, payload(cancel("../x"))), protocol.NoticeUnparsable, ""},
		"a resend of a path":        {signed(trusted, protocol.ResendPayload, payload(protocol.Resend{TaskID: "../x", ServerID: server})), protocol.NoticeUnparsable, ""},
		"an id that is empty":       {signed(trusted, protocol.TaskPayload, payload(task(""))), protocol.NoticeUnparsable, ""},
		"an id that is too long":    {signed(trusted, protocol.TaskPayload, payload(task(strings.Repeat("x", 65)))), protocol.NoticeUnparsable, ""},
		"a resend of what is not":   {seal(t, protocol.Resend{TaskID: "x", ServerID: server}), protocol.NoticeUnparsable, "x"},
		"other content of known id": {seal(t, task("known", func(t *protocol.Task) { t.JobID = "job-2" })), protocol.NoticeContentChanged, "known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			b.receive(task("known"))
			b.receive(test.statement, task("good"), test.statement)
			want(t, "known", b.known(), []string{"good", "known"})
			want(t, "accepted", b.accepted, []string{"known", "good"})
			line := fmt.Sprintf("%s %s 1", test.code, test.id)
			wanted := []string{line, line}
			if test.id == "x" && name == "a resend of what is not" {
				wanted = wanted[:1] // obeyed once a minute
			}
			want(t, "notices", b.said(), wanted)
			if s := b.latest("known"); s.Seq != 1 || s.JobID != "job-1" {
				t.Errorf("the known task became %+v", s)
			}
		})
	}
}

func TestAMailboxThatCannotBeReadIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	good := box(t, task("good"))
	for name, test := range map[string]struct {
		raw   []byte
		codes []string
		known []string
	}{
		"no JSON":                 {good[:len(good)-1], []string{"UNPARSABLE  1"}, nil},
		"empty":                   {nil, []string{"UNPARSABLE  1"}, nil},
		"a list":                  {[]byte("[]"), []string{"UNPARSABLE  1"}, nil},
		"for another server":      {[]byte(strings.Replace(string(good), `"server_id":"srv-1"`, `"server_id":"srv-2"`, 1)), []string{"SERVER_WRONG  1"}, nil},
		"too large":               {append(good, make([]byte, protocol.MaxMailboxRead)...), []string{"TOO_LARGE  1"}, nil},
		"statements of no list":   {[]byte(`{"server_id":"srv-1","statements":{"a":1}}`), []string{"UNPARSABLE  1"}, nil},
		"statements of null":      {[]byte(`{"server_id":"srv-1","statements":null}`), nil, nil},
		"null":                    {[]byte(`null`), []string{"SERVER_WRONG  1"}, nil},
		"no statements":           {[]byte(`{"server_id":"srv-1"}`), nil, nil},
		"what is new around them": {[]byte(`{"hello":[{"statements":[1]}],` + string(good[1:])), nil, []string{"good"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			b.merge(test.raw)
			want(t, "notices", b.said(), test.codes)
			want(t, "known", b.known(), test.known)
		})
	}
}

func TestASignedTaskThatCannotRunHasAVerdict(t *testing.T) {
	t.Parallel()
	item := func(change func(*protocol.Item)) func(*protocol.Task) {
		return func(t *protocol.Task) { change(&t.Items[0]) }
	}
	spec := func(name, value string) func(*protocol.Task) {
		return item(func(i *protocol.Item) { i.Spec[name] = value })
	}
	for name, test := range map[string]struct {
		change func(*protocol.Task)
		code   protocol.Code
		says   string
	}{
		"a parameter is missing":      {item(func(i *protocol.Item) { i.Spec = nil }), protocol.SpecInvalid, "spec.version is missing"},
		"a parameter does not fit":    {spec("version", "24.1 "), protocol.SpecInvalid, "does not match"},
		"a parameter climbs":          {spec("version", "../24.1"), protocol.SpecInvalid, "does not match"},
		"a parameter is unknown":      {spec("surprise", "1"), protocol.SpecInvalid, "spec.surprise is not a parameter of ONE"},
		"a parameter has controls":    {spec("note", "a\x1b[2J"), protocol.SpecInvalid, "control characters"},
		"a parameter is long":         {spec("note", strings.Repeat("x", protocol.MaxSpecValue+1)), protocol.SpecInvalid, "2049 bytes long"},
		"there are no items":          {func(t *protocol.Task) { t.Items = nil }, protocol.SpecInvalid, "0 items"},
		"there are too many items":    {func(t *protocol.Task) { t.Items = slices.Repeat(t.Items, 17) }, protocol.SpecInvalid, "17 items"},
		"its job is no id":            {func(t *protocol.Task) { t.JobID = "../job" }, protocol.SpecInvalid, "job_id"},
		"its timeout is negative":     {func(t *protocol.Task) { t.TimeoutSeconds = -1 }, protocol.SpecInvalid, "timeout_seconds"},
		"it is valid for too long":    {func(t *protocol.Task) { t.ExpiresAt += protocol.MaxValidity.Milliseconds() }, protocol.SpecInvalid, "expires_at"},
		"it expired":                  {func(t *protocol.Task) { t.IssuedAt -= 2 * 3600_000; t.ExpiresAt -= 3600_000 + 1 }, protocol.TaskExpired, "had expired at"},
		"its type is unknown":         {item(func(i *protocol.Item) { i.Type = "TWO" }), protocol.TypeUnknown, "no executor for TWO (item 0)"},
		"its type is no type":         {item(func(i *protocol.Item) { i.Type = "a b" }), protocol.SpecInvalid, "is not a type name"},
		"it wants the host restarted": {func(t *protocol.Task) { t.IsReboot = true }, protocol.RebootUnavailable, "restart"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, nil)
			bad := task("bad", test.change)
			b.receive(bad, task("good"))
			want(t, "accepted", b.accepted, []string{"good"})
			s := b.latest("bad")
			if s.Status != protocol.Failed || s.Code != test.code || s.Phase != protocol.Done || s.Seq != 1 ||
				!strings.Contains(s.Message, test.says) || !strings.HasSuffix(s.Message, "Nothing was started on this host.") {
				t.Errorf("verdict is %+v", s)
			}
			want(t, "notices", b.said(), []string(nil))
			b.receive(bad)
			if s := b.latest("bad"); s.Seq != 1 {
				t.Errorf("it got another verdict: %+v", s)
			}
		})
	}
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
