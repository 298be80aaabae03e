package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/agent/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

const id = "srv-1"

func start(t *testing.T, dir string, configure ...func(*server.Options)) *brokertest.Broker {
	t.Helper()
	b, err := brokertest.Start(dir, configure...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// agent is a connection and what it was told.
type agent struct {
	*broker.Conn
	pushes   chan string
	stamps   chan time.Time
	connects chan struct{}
}

func connect(t *testing.T, opts broker.Options) *agent {
	t.Helper()
	a := &agent{pushes: make(chan string, 100), stamps: make(chan time.Time, 100), connects: make(chan struct{}, 100)}
	opts.ServerID, opts.Version = id, "test"
	if opts.MaxDelay == 0 {
		opts.MaxDelay = 20 * time.Millisecond
	}
	if opts.OnPush == nil {
		opts.OnPush = func(raw []byte, stored time.Time) { a.pushes <- string(raw); a.stamps <- stored }
	}
	opts.OnConnect = func() { a.connects <- struct{}{} }
	conn, err := broker.Connect(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	a.Conn = conn
	return a
}

func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(wait.Patience):
		t.Fatalf("%s does not come", what)
		panic("unreachable")
	}
}

// settled returns when the broker has all that the agent said so far: what is
// stored from now on is pushed to it.
func settled(t *testing.T, a *agent) {
	t.Helper()
	receive(t, "the connect", a.connects)
	if _, _, err := a.Fetch(ask(t)); err != nil && !errors.Is(err, broker.ErrNoMailbox) {
		t.Fatal(err)
	}
}

func ask(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, js jetstream.JetStream, subject, text string) {
	t.Helper()
	if _, err := js.Publish(ask(t), subject, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestAMailboxIsPushedAndFetchedWithTheTimeItWasStored(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	js := brokertest.JetStream(t, b.ClientURL())
	a := connect(t, broker.Options{Servers: []string{b.ClientURL()}})
	receive(t, "the connect", a.connects)
	if _, _, err := a.Fetch(ask(t)); !errors.Is(err, broker.ErrNoMailbox) {
		t.Errorf("without a mailbox: %v", err)
	}
	before := time.Now()
	put(t, js, protocol.MailboxSubject("srv-2"), "not ours")
	put(t, js, protocol.MailboxSubject(id), "ours")
	if got := receive(t, "the push", a.pushes); got != "ours" {
		t.Errorf("pushed %q", got)
	}
	pushed := receive(t, "its stamp", a.stamps)
	raw, fetched, err := a.Fetch(ask(t))
	if err != nil || string(raw) != "ours" {
		t.Errorf("fetched %q, %v", raw, err)
	}
	if !fetched.Equal(pushed) || fetched.Before(before.Add(-time.Minute)) {
		t.Errorf("pushed as of %s, fetched as of %s", pushed, fetched)
	}
	if err := js.DeleteStream(ask(t), protocol.MailboxStream); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Fetch(ask(t)); !errors.Is(err, broker.ErrAway) || errors.Is(err, broker.ErrNoMailbox) {
		t.Errorf("without the stream: %v", err)
	}
}

func TestAPublishIsAcknowledgedOrRefusedOrUnknown(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), func(o *server.Options) { o.MaxPayload = 256 << 10 })
	js := brokertest.JetStream(t, b.ClientURL())
	a := connect(t, broker.Options{Servers: []string{b.ClientURL()}})
	receive(t, "the connect", a.connects)
	subject := protocol.StatusSubject(id)
	for range 2 {
		if err := a.Publish(ask(t), subject, "same-id", []byte("{}")); err != nil {
			t.Error(err)
		}
	}
	stream, err := js.Stream(ask(t), protocol.StatusStream)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := stream.Info(ask(t)); err != nil || info.State.Msgs != 1 {
		t.Errorf("the stream holds %+v, %v", info, err)
	}
	for name, size := range map[string]int{"stream": 128 << 10, "broker": 512 << 10} {
		if err := a.Publish(ask(t), subject, "", make([]byte, size)); !errors.Is(err, broker.ErrRefused) || errors.Is(err, broker.ErrAway) {
			t.Errorf("more than the %s takes: %v", name, err)
		}
	}
	if err := a.Send("nobody.listens", []byte("x")); err != nil {
		t.Error(err)
	}
	if err := js.DeleteStream(ask(t), protocol.StatusStream); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(ask(t), subject, "", []byte("{}")); !errors.Is(err, broker.ErrAway) || !a.Connected() {
		t.Errorf("without the stream: %v", err)
	}
}

func TestTheConnectionIsMadeAgainAndAgain(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	a := connect(t, broker.Options{Servers: []string{fmt.Sprintf("nats://127.0.0.1:%d", port)}})
	wait.For(t, "it is said why there is no connection", func() bool { return strings.Contains(a.State().LastError, "refused") })
	if err := a.Publish(ask(t), "x", "", nil); !errors.Is(err, broker.ErrAway) {
		t.Errorf("publish while away: %v", err)
	}
	if _, _, err := a.Fetch(ask(t)); !errors.Is(err, broker.ErrAway) {
		t.Errorf("fetch while away: %v", err)
	}
	if err := a.Send("x", nil); !errors.Is(err, broker.ErrAway) {
		t.Errorf("send while away: %v", err)
	}
	dir := t.TempDir()
	for range 2 {
		b := start(t, dir, func(o *server.Options) { o.Port = port })
		wait.For(t, "it is connected", a.Connected)
		settled(t, a)
		if s := a.State(); !s.Connected || s.LastError != "" || !strings.Contains(s.Server, fmt.Sprint(port)) {
			t.Errorf("state is %+v", s)
		}
		// The subscription is there before the mailbox can be read.
		put(t, brokertest.JetStream(t, b.ClientURL()), protocol.MailboxSubject(id), "after a connect")
		receive(t, "the push", a.pushes)
		b.Stop()
		wait.For(t, "the loss is noticed", func() bool { s := a.State(); return !s.Connected && s.Server == "" })
	}
}

func TestAWrongOptionIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]broker.Options{
		"server 1 of 1: is not a URL": {Servers: []string{"nats://%zz"}},
		"its scheme is \"http\"":      {Servers: []string{"http://127.0.0.1"}},
		"names no host":               {Servers: []string{"nats://:4222"}},
		"no such file":                {Servers: []string{"nats://127.0.0.1"}, CAFile: filepath.Join(t.TempDir(), "ca")},
	} {
		opts.ServerID = id
		if conn, err := broker.Connect(opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error is %v, want one that says %q", err, name)
			conn.Close()
		}
	}
}

// A broker that says what the client does not know makes the client give up.
func TestTheConnectionOutlivesAClientThatGaveUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go talk(c)
		}
	}()
	a := connect(t, broker.Options{Servers: []string{"nats://" + listener.Addr().String()}})
	for range 3 {
		receive(t, "the connect", a.connects)
	}
}

// talk is a broker that takes a client and soon tells it something odd.
func talk(c net.Conn) {
	defer c.Close()
	listen(c, "SUB ")
	fmt.Fprint(c, "-ERR 'The Moon Is Full'\r\n")
	_, _ = c.Read(make([]byte, 4096)) // until the client has gone
}

// listen shakes hands with a client and reads until it says something.
func listen(c net.Conn, until string) {
	fmt.Fprint(c, "INFO {\"server_id\":\"x\",\"max_payload\":1048576,\"headers\":true}\r\n")
	buf, seen := make([]byte, 4096), ""
	for !strings.Contains(seen, until) {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		seen += string(buf[:n])
		for range strings.Count(string(buf[:n]), "PING\r\n") {
			fmt.Fprint(c, "PONG\r\n")
		}
	}
}

// A broker that dies takes the answers with it that it still owes. Whoever waits
// for one without a deadline of his own must not wait for ever.
func TestAnAnswerThatIsOwedIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	asked := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go func() {
				listen(c, protocol.FactsSubject(id))
				asked <- c
				listen(c, protocol.FactsSubject(id)) // answers pings, and nothing else
			}()
		}
	}()
	for name, c := range map[string]struct {
		timeout time.Duration
		broker  func(net.Conn)
		says    string
	}{
		"the broker dies":         {time.Hour, func(c net.Conn) { _ = c.Close() }, "the connection was lost"},
		"the broker never does":   {50 * time.Millisecond, func(net.Conn) {}, "no answer in time"},
		"the connection is ended": {time.Hour, nil, "the connection was lost"},
	} {
		a := connect(t, broker.Options{Servers: []string{"nats://" + listener.Addr().String()}, AnswerTimeout: c.timeout})
		receive(t, "the connect", a.connects)
		answer := make(chan error, 1)
		go func() { answer <- a.Publish(t.Context(), protocol.FactsSubject(id), "", []byte("{}")) }()
		link := receive(t, "the question", asked)
		if c.broker == nil {
			a.Close()
		} else {
			c.broker(link)
		}
		if err := receive(t, "the end of the wait", answer); !errors.Is(err, broker.ErrAway) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want one that says %q", name, err, c.says)
		}
	}
}

func TestAPushThatGotLostHasTheMailboxRead(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir())
	js := brokertest.JetStream(t, b.ClientURL())
	release := make(chan struct{})
	a := connect(t, broker.Options{Servers: []string{b.ClientURL()}, OnPush: func([]byte, time.Time) { <-release }})
	settled(t, a)
	for n := range 40 {
		put(t, js, protocol.MailboxSubject(id), fmt.Sprint(n))
	}
	receive(t, "the word that a push got lost", a.connects)
	close(release)
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	b := start(t, t.TempDir())
	before := runtime.NumGoroutine()
	for name, url := range map[string]string{
		"connected": b.ClientURL(), "refused": "nats://127.0.0.1:1", "not answered": "nats://" + deaf.Addr().String(),
	} {
		a := connect(t, broker.Options{Servers: []string{url}})
		if name == "connected" {
			receive(t, "the connect", a.connects)
		}
		began := time.Now()
		a.Close()
		a.Close()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: Close took %s", name, took)
		}
	}
	wait.For(t, "all goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

func TestNoConnectionIsOneThatIsAway(t *testing.T) {
	t.Parallel()
	var conn *broker.Conn
	if err := conn.Publish(t.Context(), "x", "", nil); !errors.Is(err, broker.ErrAway) {
		t.Error(err)
	}
	if err := conn.Send("x", nil); !errors.Is(err, broker.ErrAway) || conn.Connected() || conn.State().Connected {
		t.Error(err)
	}
	conn.Close()
}
