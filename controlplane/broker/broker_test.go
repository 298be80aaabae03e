package broker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func openBroker(t *testing.T) *Broker {
	t.Helper()
	b, err := Open(t.Context(), Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

const greeting = "INFO {}\r\n"

// A server that cannot be reached for a reason that may pass is tried again. One that
// refuses this client, or is no NATS server, is not.
func TestAServerThatCannotBeReachedIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options Options
		greet   func(*net.TCPConn) error // what follows is that the connection is closed
		refused string                   // part of the error; empty: it is tried again
	}{
		"closed at once":         {greet: func(*net.TCPConn) error { return nil }},
		"closed in the greeting": {greet: says("INF")},
		"closed after it":        {greet: says(greeting)},
		"reset after it": {greet: func(c *net.TCPConn) error {
			return errors.Join(says(greeting)(c), c.SetLinger(0))
		}},
		"closed instead of an answer": {greet: answers("")},
		"cut in the middle of TLS":    {greet: withTLS("\x16\x03\x03")},
		"silent": {greet: func(c *net.TCPConn) error {
			_, err := io.Copy(io.Discard, c) // until the other side has had enough
			return err
		}},
		"full":                     {greet: answers("-ERR 'maximum connections exceeded'\r\n")},
		"full for this account":    {greet: answers("-ERR 'maximum account active connections exceeded'\r\n")},
		"slow":                     {greet: answers("-ERR 'Authentication Timeout'\r\n")},
		"refused":                  {greet: answers("-ERR 'Authorization Violation'\r\n"), refused: "Authorization Violation"},
		"no NATS server":           {greet: says("220 mail.example.org ESMTP\r\n"), refused: "INFO not received"},
		"nothing in common":        {greet: withTLS("\x15\x03\x03\x00\x02\x02\x28"), refused: "handshake failure"},
		"credentials that are not": {options: Options{CredentialsFile: "/nowhere"}, greet: says("INFO {\"nonce\":\"x\"}\r\n"), refused: "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			came := make(chan int, 1)
			go func() {
				defer cancel() // the second time is all that is wanted
				n := 0
				defer func() { came <- n }()
				for ; n < 2; n++ {
					conn, err := listener.Accept()
					if err != nil {
						return // the test is over
					}
					if err := c.greet(conn.(*net.TCPConn)); err != nil && c.refused == "" {
						t.Log(err)
					}
					_ = conn.Close()
				}
			}()
			c.options.URL = "nats://" + listener.Addr().String()
			b, err := Open(ctx, c.options)
			if err == nil {
				b.Close()
			}
			_ = listener.Close()
			switch n := <-came; {
			case c.refused == "" && (n != 2 || err == nil):
				t.Errorf("it was tried %d times: %v", n, err)
			case c.refused != "" && (n > 1 || err == nil || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("it was tried %d times: %v", n, err)
			}
		})
	}
}

func says(words string) func(*net.TCPConn) error {
	return func(c *net.TCPConn) error {
		_, err := io.WriteString(c, words)
		return err
	}
}

// withTLS asks for TLS and answers the ClientHello with bytes: 0x16 0x03 0x03 begins a
// handshake record, 0x15 the alert of a record (RFC 8446, sections 5.1 and 6).
func withTLS(answer string) func(*net.TCPConn) error {
	return func(c *net.TCPConn) error {
		if err := says("INFO {\"tls_required\":true}\r\n")(c); err != nil {
			return err
		}
		// All of it: to close with bytes unread would be a reset.
		hello := make([]byte, 64<<10)
		header := hello[:5]
		if _, err := io.ReadFull(c, header); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, hello[:int(header[3])<<8|int(header[4])]); err != nil {
			return err
		}
		return says(answer)(c)
	}
}

// answers a client's CONNECT and PING.
func answers(words string) func(*net.TCPConn) error {
	return func(c *net.TCPConn) error {
		if err := says(greeting)(c); err != nil {
			return err
		}
		lines := bufio.NewReader(c)
		for range 2 {
			if _, err := lines.ReadString('\n'); err != nil {
				return err
			}
		}
		return says(words)(c)
	}
}

func TestAnAddressThatIsNoneIsNotTriedAgain(t *testing.T) {
	for _, url := range []string{"nats://127.0.0.1:70000", "nats://127.0.0.1:x"} {
		if b, err := Open(t.Context(), Options{URL: url}); err == nil {
			b.Close()
			t.Errorf("%s is connected", url)
		}
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:4222": true, "localhost:0": true, "[::1]:1": true, "127.8.8.8:1": true,
		"0.0.0.0:4222": false, ":4222": false, "192.0.2.1:4222": false, "example.org:1": false,
	} {
		_, _, err := CheckLoopback(addr)
		if ok != (err == nil) || !ok && !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"} {
		if _, _, err := CheckLoopback(addr); err == nil {
			t.Errorf("%q is taken for an address", addr)
		}
	}
	if _, err := Open(t.Context(), Options{DataDir: t.TempDir(), Listen: "0.0.0.0:0"}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("a broker for everybody: %v", err)
	}
}

func TestAnEmbeddedServerSyncsBeforeItAcknowledgesUnlessItIsTold(t *testing.T) {
	o, err := openServer(Options{DataDir: t.TempDir()})
	if err != nil || !o.SyncAlways {
		t.Errorf("the default syncs always: %v, %v", o.SyncAlways, err)
	}
	o, err = openServer(Options{DataDir: t.TempDir(), SyncInterval: time.Hour})
	if err != nil || o.SyncAlways || o.SyncInterval != time.Hour {
		t.Errorf("told to sync every hour it syncs always: %v, every %s, %v", o.SyncAlways, o.SyncInterval, err)
	}
}

func TestWithoutAConfigurationNothingIsReadAgain(t *testing.T) {
	if err := openBroker(t).Reload(); !errors.Is(err, ErrNoConfig) {
		t.Errorf("it says %v", err)
	}
}

func TestStreamsAreThoseOfTheContract(t *testing.T) {
	b := openBroker(t)
	epoch, err := b.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{protocol.MailboxStream, protocol.StatusStream, protocol.OutputStream, protocol.FactsStream, protocol.NoticeStream} {
		stream, err := b.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		c := stream.CachedInfo().Config
		if c.Storage != jetstream.FileStorage || c.AllowRollup || c.AllowMsgTTL || c.AllowMsgSchedules || c.AllowAtomicPublish {
			t.Errorf("%s is %+v", name, c)
		}
		switch name {
		case protocol.MailboxStream:
			if c.MaxMsgsPerSubject != 1 || !c.AllowDirect || c.RePublish == nil {
				t.Errorf("%s is %+v", name, c)
			}
		case protocol.StatusStream:
			if c.Discard != jetstream.DiscardNew || c.MaxAge < protocol.MaxValidity {
				t.Errorf("%s is %+v", name, c)
			}
		case protocol.OutputStream:
			if c.Discard != jetstream.DiscardNew || c.Compression != jetstream.S2Compression || c.PersistMode != jetstream.AsyncPersistMode || c.MaxBytes <= 0 || c.MaxAge <= 0 {
				t.Errorf("%s is %+v", name, c)
			}
		case protocol.FactsStream:
			if c.MaxMsgsPerSubject != 1 {
				t.Errorf("%s is %+v", name, c)
			}
		}
	}
	again, err := b.Ensure(t.Context())
	if err != nil || again.ID != epoch.ID {
		t.Errorf("a second Ensure is epoch %s, was %s: %v", again.ID, epoch.ID, err)
	}
}

func TestAnAgentCannotRemoveWhatOthersSaid(t *testing.T) {
	b := openBroker(t)
	if _, err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.Publish(t.Context(), protocol.FactsSubject("a"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, header := range []nats.Header{{"Nats-Rollup": {"all"}}, {"Nats-TTL": {"1s"}}} {
		msg := &nats.Msg{Subject: protocol.FactsSubject("b"), Header: header, Data: []byte("{}")}
		if _, err := b.JS.PublishMsg(t.Context(), msg); err == nil {
			t.Errorf("%v was taken", header)
		}
	}
	stream, err := b.JS.Stream(t.Context(), protocol.FactsStream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.GetLastMsgForSubject(t.Context(), protocol.FactsSubject("a")); err != nil {
		t.Errorf("facts of another server are gone: %v", err)
	}
}

func TestAMailboxIsPushedAndFetched(t *testing.T) {
	b := openBroker(t)
	if _, err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.CheckMapping(t.Context()); err != nil {
		t.Fatal(err)
	}
	agent, err := nats.Connect(b.Addr(), nats.Timeout(wait.Patience))
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	push, err := agent.SubscribeSync(protocol.PushSubject("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.Publish(t.Context(), protocol.MailboxSubject("a"), []byte("box")); err != nil {
		t.Fatal(err)
	}
	if msg, err := push.NextMsg(wait.Patience); err != nil || string(msg.Data) != "box" {
		t.Errorf("pushed: %v %v", msg, err)
	}
	if msg, err := agent.Request(protocol.FetchSubject("a"), nil, wait.Patience); err != nil || string(msg.Data) != "box" {
		t.Errorf("fetched: %v %v", msg, err)
	}
	if msg, err := agent.Request(protocol.FetchSubject("b"), nil, wait.Patience); err != nil || msg.Header.Get("Status") != "404" {
		t.Errorf("fetched what is not there: %v %v", msg, err)
	}
}

// A broker that dies takes the answers with it that it still owes. Whoever waits for one
// must not wait until his own time is over.
func TestAnAnswerThatIsOwedByADeadBrokerIsNotWaitedFor(t *testing.T) {
	b := openBroker(t)
	given, err := Open(t.Context(), Options{URL: b.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(given.Close)
	asked, err := b.Conn.SubscribeSync("silence")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	request := func(ctx context.Context) error {
		_, err := given.Conn.RequestWithContext(ctx, "silence", nil)
		return err
	}
	answer := make(chan error, 1)
	go func() { answer <- given.WhileConnected(t.Context(), request) }()
	if _, err := asked.NextMsg(wait.Patience); err != nil {
		t.Fatal(err)
	}
	b.Close()
	select {
	case err := <-answer:
		if !Away(err) || !errors.Is(err, nats.ErrDisconnected) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(wait.Patience):
		t.Fatal("it is still waited for")
	}
	// Who asks while there is no connection is told so by the client; who has an error or
	// an answer of his own keeps it.
	if err := given.WhileConnected(t.Context(), request); !Away(err) {
		t.Errorf("without a connection: %v", err)
	}
	own := errors.New("his own")
	if err := given.WhileConnected(t.Context(), func(context.Context) error { return own }); !errors.Is(err, own) || Away(err) {
		t.Errorf("an error of his own became %v", err)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := given.WhileConnected(short, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); !errors.Is(err, context.Canceled) || Away(err) {
		t.Errorf("who gave up is told %v", err)
	}
}

func TestDeletedStreamsAreNoticedAndRecreated(t *testing.T) {
	const byAnother = "recreated by another client"
	changes := map[string]func(context.Context, *Broker) error{
		byAnother: func(ctx context.Context, b *Broker) error {
			if err := b.JS.DeleteStream(ctx, protocol.MailboxStream); err != nil {
				return err
			}
			_, err := b.Ensure(ctx)
			return err
		},
	}
	for _, name := range contract() {
		changes[name] = func(ctx context.Context, b *Broker) error { return b.JS.DeleteStream(ctx, name) }
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBroker(t)
			epoch, err := b.Ensure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			whole := streamNames(t, b)
			if diff := cmp.Diff(slices.Sorted(slices.Values(contract())), whole); diff != "" {
				t.Errorf("streams that are watched and streams that are made:\n%s", diff)
			}
			noticed := make(chan error, 1)
			go func() { noticed <- b.Watch(t.Context(), epoch, time.Millisecond) }()
			if err := change(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := <-noticed; !errors.Is(err, ErrForgot) {
				t.Errorf("error is %v", err)
			}
			again, err := b.Ensure(t.Context())
			if err != nil || again.streams.equal(epoch.streams) {
				t.Errorf("epoch is %+v again: %v", again, err)
			}
			told := name == protocol.StatusStream || name == protocol.MailboxStream || name == byAnother
			if told != (again.ID != epoch.ID) {
				t.Errorf("epoch was %s and is %s", epoch.ID, again.ID)
			}
			if diff := cmp.Diff(whole, streamNames(t, b)); diff != "" {
				t.Errorf("streams (-before +after):\n%s", diff)
			}
		})
	}
}

// A deleted mailbox stream must not be reported as a missing mapping.
func TestADeletedMailboxStreamIsNoMissingMapping(t *testing.T) {
	t.Parallel()
	b, err := Open(t.Context(), Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Hour, ProbeTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, err = b.Ensure(t.Context())
	if err = errors.Join(err, b.CheckMapping(t.Context()), b.JS.DeleteStream(t.Context(), protocol.MailboxStream)); err != nil {
		t.Fatal(err)
	}
	if err := b.CheckMapping(t.Context()); !errors.Is(err, ErrForgot) {
		t.Errorf("error is %v", err)
	}
}

// streamNames are those of all streams that are there.
func streamNames(t *testing.T, b *Broker) (names []string) {
	t.Helper()
	list := b.JS.StreamNames(t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	slices.Sort(names)
	return names
}
