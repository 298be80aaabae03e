package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// hub is a broker that is stopped and started again on the same store. Its
// methods are for one goroutine.
type hub struct {
	t        testing.TB
	dir      string
	settings []func(*server.Options)
	broker   *brokertest.Broker // nil while it is stopped
	conn     *nats.Conn
	js       jetstream.JetStream

	said   []protocol.Status // what was read of the streams
	output []protocol.Chunk
	told   []protocol.Notice
	read   map[string]uint64 // how far each was read
}

func newHub(t testing.TB, configure ...func(*server.Options)) *hub {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-hub-")
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, dir: dir, settings: append(configure, brokertest.SyncAlways), read: map[string]uint64{}}
	h.up()
	t.Cleanup(func() {
		h.away()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hub) up() {
	h.t.Helper()
	b, err := brokertest.Start(h.dir, h.settings...)
	if err == nil {
		h.broker = b
		h.conn, err = nats.Connect(b.ClientURL(), nats.Timeout(wait.Patience))
	}
	if err == nil {
		h.js, err = jetstream.New(h.conn, jetstream.WithDefaultTimeout(wait.Patience))
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) away() {
	if h.broker == nil {
		return
	}
	if h.conn != nil {
		h.conn.Close()
	}
	h.broker.Stop()
	h.broker = nil
}

func (h *hub) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), wait.Patience)
}

// address is where it listens, another one after each start.
func (h *hub) address() string {
	return strings.TrimPrefix(h.broker.ClientURL(), "nats://")
}

// store puts a mailbox into its stream, which also pushes it.
func (h *hub) store(box protocol.Mailbox) {
	h.t.Helper()
	raw, err := json.Marshal(box)
	if err == nil {
		err = h.storeRaw(box.ServerID, raw)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) storeRaw(server string, raw []byte) error {
	ctx, cancel := h.context()
	defer cancel()
	_, err := h.js.Publish(ctx, protocol.MailboxSubject(server), raw)
	return err
}

// push sends a copy that is not stored.
func (h *hub) push(box protocol.Mailbox) {
	h.t.Helper()
	raw, err := json.Marshal(box)
	if err == nil {
		err = h.conn.Publish(protocol.PushSubject(box.ServerID), raw)
	}
	if err == nil {
		err = h.conn.FlushTimeout(wait.Patience)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// empty removes all messages of a stream.
func (h *hub) empty(stream string) {
	h.t.Helper()
	ctx, cancel := h.context()
	defer cancel()
	s, err := h.js.Stream(ctx, stream)
	if err == nil {
		err = s.Purge(ctx)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// statuses are all that the stream has, progress left out, in its order.
func (h *hub) statuses() []protocol.Status {
	h.t.Helper()
	follow(h, protocol.StatusStream, func(s protocol.Status) {
		if !s.Progress {
			h.said = append(h.said, s)
		}
	})
	return h.said
}

func (h *hub) chunks() []protocol.Chunk {
	h.t.Helper()
	follow(h, protocol.OutputStream, func(c protocol.Chunk) { h.output = append(h.output, c) })
	return h.output
}

func (h *hub) notices() []protocol.Notice {
	h.t.Helper()
	follow(h, protocol.NoticeStream, func(n protocol.Notice) { h.told = append(h.told, n) })
	return h.told
}

// of are the statuses of one task.
func (h *hub) of(task string) (said []protocol.Status) {
	h.t.Helper()
	for _, s := range h.statuses() {
		if s.TaskID == task {
			said = append(said, s)
		}
	}
	return said
}

// verdict is the first terminal status of a task, nil as long as there is none.
func (h *hub) verdict(task string) *protocol.Status {
	h.t.Helper()
	for _, s := range h.of(task) {
		if s.Status.Terminal() {
			return &s
		}
	}
	return nil
}

// follow reads what is new in a stream.
func follow[T any](h *hub, name string, take func(T)) {
	h.t.Helper()
	if h.conn.IsClosed() {
		return // the broker is away
	}
	ctx, cancel := h.context()
	defer cancel()
	stream, err := h.js.Stream(ctx, name)
	if err != nil {
		h.t.Fatal(err)
	}
	last := stream.CachedInfo().State.LastSeq
	for h.read[name] < last {
		msg, err := stream.GetMsg(ctx, h.read[name]+1)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			h.read[name]++ // the stream keeps the newest only
			continue
		}
		if err != nil {
			h.t.Fatalf("read message %d of %s: %v", h.read[name]+1, name, err)
		}
		var value T
		if err := json.Unmarshal(msg.Data, &value); err != nil {
			h.t.Fatalf("%s has what is not JSON: %v", name, err)
		}
		take(value)
		h.read[name]++
	}
}
