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
	"net/url"
	"strconv"
	"strings"
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
	// ErrRefused is the broker's own no: a full stream, a message too large.
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
	CAFile          string   // "" for the system's
	CertFile        string   // with KeyFile, for mutual TLS; "" for none
	KeyFile         string
	// MaxDelay bounds the pause between two attempts to connect; 0 is 2 min.
	MaxDelay time.Duration
	Log      *zap.Logger

	// OnPush takes the live copy of the mailbox and when the broker stored it.
	OnPush func(mailbox []byte, stored time.Time)
	// OnConnect is called after every connect, the first included.
	OnConnect func()
}

// Conn is the connection. All methods may be called concurrently.
type Conn struct {
	opts Options
	nc   *nats.Conn

	mu         sync.Mutex
	violations []string // permission violations, for status
	connected  time.Time
	lost       time.Time
	attempts   int
	ready      bool // subscribed to pushes
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
	c := &Conn{opts: opts, lost: time.Now()}
	nc, err := nats.Connect(strings.Join(opts.Servers, ","), c.natsOptions()...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	c.nc = nc
	if _, err := nc.Subscribe(protocol.PushSubject(opts.ServerID), c.push); err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribe to pushes: %w", err)
	}
	c.mu.Lock()
	c.ready = true
	c.mu.Unlock()
	if nc.IsConnected() {
		c.onConnect(nc) // the callback ran before the subscription was made
	}
	return c, nil
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

// Fetch asks for the stored mailbox. ErrNoMailbox: the broker has none, which
// says nothing about tasks. ErrAway: ask again later.
func (c *Conn) Fetch(ctx context.Context) ([]byte, time.Time, error) {
	m, err := c.nc.RequestWithContext(ctx, protocol.FetchSubject(c.opts.ServerID), nil)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("fetch mailbox: %w: %w", ErrAway, err)
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

// pubAck is the answer of a stream to a stored message: JSApiPubAck of the
// JetStream API.
type pubAck struct {
	Stream    string `json:"stream"`
	Duplicate bool   `json:"duplicate"`
	Error     *struct {
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
	reply, err := c.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return fmt.Errorf("publish to %s: %w: %w", subject, ErrAway, err)
	}
	var ack pubAck
	if err := json.Unmarshal(reply.Data, &ack); err != nil || ack.Stream == "" && ack.Error == nil {
		return fmt.Errorf("publish to %s: %w: the answer is no acknowledgement", subject, ErrAway)
	}
	if ack.Error != nil {
		return fmt.Errorf("publish to %s: %w: %d %s", subject, ErrRefused, ack.Error.Code, ack.Error.Description)
	}
	return nil
}

// Send publishes what nobody stores or waits for. It is dropped while the
// broker is away.
func (c *Conn) Send(subject string, data []byte) error {
	if err := c.nc.Publish(subject, data); err != nil {
		return fmt.Errorf("publish to %s: %w: %w", subject, ErrAway, err)
	}
	return nil
}

// Connected reports whether the broker is reached at the moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// State describes the connection.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Connected: c.nc.IsConnected(), Violations: append([]string(nil), c.violations...)}
	s.Since = protocol.Millis(c.lost)
	if s.Connected {
		s.Server, s.Since = c.nc.ConnectedUrlRedacted(), protocol.Millis(c.connected)
	}
	if err := c.nc.LastError(); err != nil {
		s.LastError = redact(err.Error(), c.opts.Servers)
	}
	return s
}

// Close sends what is buffered and ends the connection.
func (c *Conn) Close() {
	// What is not acknowledged stays in the journal, so nothing waits for long.
	_ = c.nc.FlushTimeout(time.Second)
	c.nc.Close()
}

// redact takes passwords of the configured URLs out of a message.
func redact(message string, servers []string) string {
	for _, s := range servers {
		if u, err := url.Parse(s); err == nil && u.User != nil {
			if password, ok := u.User.Password(); ok && password != "" {
				message = strings.ReplaceAll(message, password, "xxxxx")
			}
			message = strings.ReplaceAll(message, strconv.Quote(s), strconv.Quote(u.Redacted()))
		}
	}
	return message
}
