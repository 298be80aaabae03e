// Package broker is the agent's one connection to NATS. It knows five subjects
// and no JetStream API: it publishes under the server's own id, subscribes to
// its push and asks for its mailbox. It keeps no state; what must not be lost
// is in the journal and is sent again by the outbox.
//
// The connection is never given up: not for wrong credentials, which an
// operator may be about to replace, and not for a broker that is away for days.
package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"devserver-agent/protocol"
)

// Errors of this package, to be matched with errors.Is.
var (
	ErrNoMailbox = errors.New("the broker has no mailbox for this server")
	ErrAway      = errors.New("the broker does not answer")
	// ErrRefused is a no that waiting does not change by itself: a full stream,
	// a message too large.
	ErrRefused = errors.New("the broker refused the message")
)

// NoMailbox is the epoch of a broker that has no mailbox for this server.
const NoMailbox = "no-mailbox"

// Options say where the broker is and who asks.
type Options struct {
	ServerID        string
	Version         string
	Servers         []string // URLs
	CredentialsFile string   // read again at every reconnect; "" for none
	CAFile          string   // "" for the system's; read again like the files below
	CertFile        string   // with KeyFile, for mutual TLS; "" for none
	KeyFile         string
	// TLSFirst begins with TLS instead of waiting for the broker's greeting.
	TLSFirst bool
	// MaxDelay bounds the pause between two attempts to connect; 0 is 2 min.
	MaxDelay time.Duration
	// AnswerTimeout bounds the wait for an answer; 0 is 10 s.
	AnswerTimeout time.Duration
	Log           *zap.Logger

	// OnPush takes the live copy of the mailbox and when the broker stored it.
	OnPush func(mailbox []byte, stored time.Time)
	// OnConnect is called after every connect, the first included, and after a
	// push got lost because those before it were not taken yet.
	OnConnect func()
}

// Conn is the connection; nil is one that is away. All methods may be called
// concurrently. None but Close waits for a broker that is away: what was asked
// on a connection ends with it, and no answer is waited for for longer than
// Options.AnswerTimeout, whatever the caller's context allows.
type Conn struct {
	opts   Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing of the connection is left

	mu         sync.Mutex
	nc         *nats.Conn      // nil until there is one
	session    context.Context // ends when this connect is lost; nil while not connected
	end        context.CancelFunc
	since      time.Time // connected, or lost
	server     string    // while connected
	attempts   int       // since the last connect
	everTried  bool
	lastError  string
	violations []string // permission violations, for status
}

// State is what an operator sees of the connection.
type State struct {
	Connected  bool     `json:"connected"`
	Server     string   `json:"server,omitempty"`
	Since      int64    `json:"since,omitempty"` // epoch ms: connected, or lost
	LastError  string   `json:"last_error,omitempty"`
	Violations []string `json:"violations,omitempty"`
}

// Connect starts connecting and returns at once. An error is a wrong option,
// such as a certificate that cannot be read.
func Connect(opts Options) (*Conn, error) {
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.MaxDelay <= 0 {
		opts.MaxDelay = 2 * time.Minute
	}
	if opts.AnswerTimeout <= 0 {
		opts.AnswerTimeout = 10 * time.Second
	}
	c := &Conn{opts: opts, done: make(chan struct{}), since: time.Now()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	options, err := c.natsOptions()
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	go c.keep(options)
	return c, nil
}

// keep holds a connection until Close. The client closes it for good when the
// broker says something that it does not know; then another one is made.
func (c *Conn) keep(options nats.Options) {
	defer close(c.done)
	for c.ctx.Err() == nil {
		if err := c.hold(options); err != nil {
			c.note(err)
			c.opts.Log.Error("broker", zap.String("error", c.redact(err.Error())))
		}
		select {
		case <-time.After(c.delay(1)):
		case <-c.ctx.Done():
		}
	}
}

func (c *Conn) hold(options nats.Options) error {
	closed, ready := make(chan struct{}), make(chan struct{})
	options.ClosedCB = func(*nats.Conn) { close(closed) }
	connected := func(nc *nats.Conn) {
		select {
		case <-ready: // pushes are subscribed to before the mailbox is read
			c.onConnect(nc)
		case <-c.ctx.Done():
		}
	}
	options.ConnectedCB, options.ReconnectedCB = connected, connected
	nc, err := options.Connect()
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	defer nc.Close()
	sub, err := nc.Subscribe(protocol.PushSubject(c.opts.ServerID), c.push)
	if err == nil {
		err = sub.SetPendingLimits(pendingPushes, pendingBytes)
	}
	if err != nil {
		return fmt.Errorf("subscribe to pushes: %w", err)
	}
	c.mu.Lock()
	c.nc = nc
	c.mu.Unlock()
	close(ready)
	select {
	case <-closed:
		c.lost()
		return fmt.Errorf("the connection was closed: %w", nc.LastError())
	case <-c.ctx.Done():
		return nil
	}
}

func (c *Conn) push(m *nats.Msg) {
	if c.opts.OnPush != nil {
		c.opts.OnPush(m.Data, stamp(m))
	}
}

// stamp is when the broker stored a message; zero if it does not say.
func stamp(m *nats.Msg) time.Time {
	t, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// live is the client's connection while it is connected, and a context that ends
// when it no longer is. While it is not, every call of the client waits for an
// attempt to connect that may be going on.
func (c *Conn) live() (*nats.Conn, context.Context, error) {
	if c == nil {
		return nil, nil, fmt.Errorf("%w: no broker is connected to", ErrAway)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == nil {
		return nil, nil, fmt.Errorf("%w: not connected", ErrAway)
	}
	return c.nc, c.session, nil
}

// Fetch asks for the stored mailbox. ErrNoMailbox: the broker has none, which
// says nothing about tasks. ErrAway: ask again later.
func (c *Conn) Fetch(ctx context.Context) ([]byte, time.Time, error) {
	m, err := c.request(ctx, &nats.Msg{Subject: protocol.FetchSubject(c.opts.ServerID)})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("fetch mailbox: %w", err)
	}
	// A direct get answers with a status header instead of data: ADR-31 of
	// nats-architecture-and-design.
	switch status := m.Header.Get("Status"); status {
	case "":
		return m.Data, stamp(m), nil
	case "404":
		return nil, time.Time{}, fmt.Errorf("fetch mailbox: %w", ErrNoMailbox)
	default:
		return nil, time.Time{}, fmt.Errorf("fetch mailbox: %w: %s %s", ErrAway, status, m.Header.Get("Description"))
	}
}

var (
	errNoAnswer = errors.New("no answer in time")
	errLost     = errors.New("the connection was lost before the answer came")
)

func (c *Conn) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	nc, session, err := c.live()
	if err != nil {
		return nil, err
	}
	// The client itself waits on for an answer that a broker took with it.
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.AnswerTimeout, errNoAnswer)
	defer cancel()
	ctx, lose := context.WithCancelCause(ctx)
	defer context.AfterFunc(session, func() { lose(errLost) })()
	reply, err := nc.RequestMsgWithContext(ctx, m)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	return reply, nil
}

// pubAck is the answer of a stream to a stored message: JSApiPubAck of the
// JetStream API.
type pubAck struct {
	Stream string `json:"stream"`
	Error  *struct {
		Code        int    `json:"code"`
		Description string `json:"description"`
	} `json:"error"`
}

// Publish has a stream store a message, and returns nil when it has. id lets
// the stream drop a repetition. ErrAway: not known to be stored, send it again.
// ErrRefused: the stream said no.
func (c *Conn) Publish(ctx context.Context, subject, id string, data []byte) error {
	m := &nats.Msg{Subject: subject, Data: data}
	if id != "" {
		m.Header = nats.Header{"Nats-Msg-Id": []string{id}}
	}
	reply, err := c.request(ctx, m)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	var ack pubAck
	if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Stream == "" && ack.Error == nil {
		return fmt.Errorf("publish to %s: %w: the answer is no acknowledgement", subject, ErrAway)
	}
	if ack.Error == nil {
		return nil
	}
	no := ErrRefused
	if ack.Error.Code == serviceUnavailable {
		no = ErrAway // JetStream is starting, or has no leader
	}
	return fmt.Errorf("publish to %s: %w: %d %s", subject, no, ack.Error.Code, ack.Error.Description)
}

// Send publishes what nobody stores or waits for. It is dropped while the
// broker is away.
func (c *Conn) Send(subject string, data []byte) error {
	nc, _, err := c.live()
	if err == nil {
		if err = nc.Publish(subject, data); err != nil {
			err = fmt.Errorf("%w: %w", ErrAway, err)
		}
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}

// Connected reports whether the broker is reached at the moment.
func (c *Conn) Connected() bool {
	_, _, err := c.live()
	return err == nil
}

// State describes the connection.
func (c *Conn) State() State {
	if c == nil {
		return State{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return State{
		Connected: c.session != nil, Server: c.server, Since: protocol.Millis(c.since),
		LastError: c.lastError, Violations: append([]string(nil), c.violations...),
	}
}

// Close sends what is buffered and ends the connection.
func (c *Conn) Close() {
	if c == nil {
		return
	}
	if nc, _, err := c.live(); err == nil {
		// What is not acknowledged stays in the journal, so nothing waits for long.
		_ = nc.FlushTimeout(time.Second)
	}
	c.cancel()
	<-c.done
}
