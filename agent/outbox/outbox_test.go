package outbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/agent/broker"
	"devserver-agent/agent/journal"
	"devserver-agent/agent/outbox"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

const server = "srv-1"

// bed is an outbox over a real store.
type bed struct {
	t     testing.TB
	store *journal.Store
	out   *outbox.Outbox
	stop  func()
}

func newBed(t testing.TB, publisher outbox.Publisher) *bed {
	t.Helper()
	store, err := journal.Open(journal.Options{Dir: t.TempDir(), ServerID: server, Version: "test", BootID: "boot"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, store: store}
	b.out = outbox.New(outbox.Options{Store: store, Publisher: publisher, ServerID: server, Spread: 100 * time.Millisecond})
	b.stop = func() {}
	t.Cleanup(func() {
		b.stop()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bed) run() *bed {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.out.Run(ctx) })
	b.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	return b
}

// admit puts a task into the journal, as accepted.
func (b *bed) admit(id string, local bool) *journal.Task {
	b.t.Helper()
	task := protocol.Task{TaskID: id, JobID: "job", ServerID: server, Items: []protocol.Item{{Type: "ONE"}, {Type: "TWO"}}}
	envelope, err := protocol.Seal(nil, task)
	if err != nil {
		b.t.Fatal(err)
	}
	t, err := b.store.Admit(journal.Admission{
		ID: id, Accept: journal.AcceptRecord{Task: &task, Local: local, ExpiresAt: 1}, Envelope: &envelope,
		First: protocol.Status{Status: protocol.Processing, Phase: protocol.Accepted},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return t
}

func (b *bed) say(t *journal.Task, state protocol.State, phase protocol.Phase) {
	b.t.Helper()
	s := protocol.Status{Status: state, Phase: phase}
	if state.Terminal() {
		s.Items = t.Outputs()
	}
	if _, err := t.Say(s); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) print(t *journal.Task, item int, data []byte) {
	b.t.Helper()
	file, err := os.OpenFile(t.OutputPath(item), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.Write(data)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.store.Touch(t)
}

func (b *bed) closed(id string) {
	b.t.Helper()
	wait.For(b.t, "task "+id+" is closed", func() bool { return b.store.Open(id) == nil })
}

// hub is a real broker and a look into its streams.
type hub struct {
	t    testing.TB
	js   jetstream.JetStream
	conn *broker.Conn
}

func newHub(t testing.TB) *hub {
	t.Helper()
	b, err := brokertest.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	js := brokertest.JetStream(t, b.ClientURL())
	conn, err := broker.Connect(broker.Options{ServerID: server, Servers: []string{b.ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	wait.For(t, "the agent is connected", conn.Connected)
	return &hub{t: t, js: js, conn: conn}
}

// all reads a stream whole.
func all[T any](h *hub, stream string) []T {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	s, err := h.js.Stream(ctx, stream)
	if err != nil {
		h.t.Fatal(err)
	}
	info, err := s.Info(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	var out []T
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && seq > 0; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			h.t.Fatal(err)
		}
		var v T
		if err := json.Unmarshal(m.Data, &v); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func (h *hub) statuses() []string {
	h.t.Helper()
	var out []string
	for _, s := range all[protocol.Status](h, protocol.StatusStream) {
		out = append(out, fmt.Sprintf("%s %d %s", s.TaskID, s.Seq, s.Phase))
	}
	return out
}

// received puts the chunks of an output together, and complains of gaps.
func (h *hub) received(task string, item int) []byte {
	h.t.Helper()
	var out []byte
	for _, c := range all[protocol.Chunk](h, protocol.OutputStream) {
		if c.TaskID != task || c.Item != item {
			continue
		}
		if c.Offset != int64(len(out)) {
			h.t.Errorf("a chunk at %d follows %d bytes", c.Offset, len(out))
		}
		if len(c.Data) > protocol.MaxChunk {
			h.t.Errorf("a chunk has %d bytes", len(c.Data))
		}
		out = append(out, c.Data...)
	}
	return out
}

func want(t testing.TB, what string, got, wanted any) {
	t.Helper()
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestStatusesAndOutputArriveInOrderAndTheTaskIsClosed(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn).run()
	task := b.admit("t1", false)
	wait.For(t, "the acceptance is there", func() bool { return len(h.statuses()) == 1 })
	first := all[protocol.Status](h, protocol.StatusStream)[0]
	if first.Envelope == nil || first.InstallationID != b.store.Installation().ID || first.ServerID != server {
		t.Errorf("the acceptance is %+v", first)
	}
	lines := bytes.Repeat([]byte("0123456789abcde\n"), 100_000) // 1.6 MB
	b.say(task, protocol.Processing, protocol.Running)
	b.print(task, 0, lines[:700_000])
	wait.For(t, "output arrives before the end", func() bool { return len(h.received("t1", 0)) == 700_000 })
	b.print(task, 0, lines[700_000:])
	b.print(task, 1, []byte("second item"))
	b.say(task, protocol.Success, protocol.Done)
	b.closed("t1")
	want(t, "statuses", h.statuses(), []string{"t1 1 ACCEPTED", "t1 2 RUNNING", "t1 3 DONE"})
	if !bytes.Equal(h.received("t1", 0), lines) || string(h.received("t1", 1)) != "second item" {
		t.Error("the output is not what was written")
	}
	for n, s := range all[protocol.Status](h, protocol.StatusStream) {
		if n > 0 && s.Envelope != nil {
			t.Error("the envelope travels more than once")
		}
	}
}

func TestWhatWasSaidWhileTheBrokerWasAwayIsSentOnceItIsThere(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	b := newBed(t, h.conn)
	running, done := b.admit("running", false), b.admit("done", false)
	b.say(running, protocol.Processing, protocol.Running)
	b.say(done, protocol.Success, protocol.Done)
	b.run()
	b.closed("done")
	wait.For(t, "all is there", func() bool { return len(h.statuses()) == 4 })
	// Verdicts first, and inside a task in order.
	want(t, "statuses", h.statuses(), []string{"done 1 ACCEPTED", "done 2 DONE", "running 1 ACCEPTED", "running 2 RUNNING"})
}

func TestABrokerWhoseStreamIsNotReadyIsTriedAgain(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
	defer cancel()
	stream, err := h.js.Stream(ctx, protocol.StatusStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if err := h.js.DeleteStream(ctx, protocol.StatusStream); err != nil {
		t.Fatal(err)
	}
	b := newBed(t, h.conn).run()
	b.say(b.admit("t1", false), protocol.Success, protocol.Done)
	if b.store.Open("t1") == nil {
		t.Error("the task is closed although nobody has its verdict")
	}
	if _, err := h.js.CreateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	b.closed("t1") // without a new connect
	want(t, "statuses", h.statuses(), []string{"t1 1 ACCEPTED", "t1 2 DONE"})
}

func TestARefusedTaskHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
	defer cancel()
	// A broker that takes no large messages: the poisoned task is over the limit
	// with its output and with its second status.
	for _, name := range []string{protocol.StatusStream, protocol.OutputStream} {
		stream, err := h.js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxMsgSize = 3000
		if _, err := h.js.UpdateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
	}
	b := newBed(t, h.conn)
	poison, chatty, good := b.admit("a-poison", false), b.admit("b-chatty", false), b.admit("c-good", false)
	if _, err := poison.Say(protocol.Status{Status: protocol.Failed, Phase: protocol.Done, Message: strings.Repeat("x", protocol.MaxMessage)}); err != nil {
		t.Fatal(err)
	}
	b.print(chatty, 0, make([]byte, 10_000))
	b.print(good, 0, []byte("fine"))
	b.say(chatty, protocol.Success, protocol.Done)
	b.say(good, protocol.Success, protocol.Done)
	b.run()
	b.closed("c-good")
	if string(h.received("c-good", 0)) != "fine" {
		t.Error("its output did not arrive")
	}
	later := b.admit("d-later", false)
	b.say(later, protocol.Success, protocol.Done)
	b.closed("d-later")
	if b.store.Open("a-poison") == nil || b.store.Open("b-chatty") == nil {
		t.Error("what was refused is closed")
	}
	if !slices.Contains(h.statuses(), "b-chatty 2 DONE") {
		t.Error("the verdict waits for its output")
	}
}

func TestLocalWorkIsToldToNobodyAndClosed(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	for name, publisher := range map[string]outbox.Publisher{"with a broker": h.conn, "without one": nil} {
		b := newBed(t, publisher).run()
		task := b.admit("local-1", true)
		b.out.Progress(task.Sign(protocol.Status{Progress: true, Percent: 50}))
		b.print(task, 0, []byte("output"))
		b.say(task, protocol.Success, protocol.Done)
		b.closed("local-1")
		b.stop()
		if got := h.statuses(); len(got) > 0 || len(h.received("local-1", 0)) > 0 {
			t.Errorf("%s: the broker was told %v", name, got)
		}
	}
}
