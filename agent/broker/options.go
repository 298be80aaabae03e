package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"devserver-agent/protocol"
)

const (
	firstDelay      = 2 * time.Second
	connectTimeout  = 15 * time.Second
	pingInterval    = time.Minute
	maxViolations   = 8
	reconnectBuffer = -1 // none: what is not acknowledged is sent from the journal
	pendingPushes   = 16
	pendingBytes    = 2 * protocol.MaxMailboxRead
	// serviceUnavailable is the code of a JetStream that is not ready.
	serviceUnavailable = 503
)

// suites are those of TLS 1.2 that have ephemeral keys and that FIPS 140-3 allows. Those
// of 1.3 are Go's choice.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

func (c *Conn) natsOptions() (nats.Options, error) {
	options := nats.GetDefaultOptions()
	for n, server := range c.opts.Servers {
		if err := checkURL(server); err != nil {
			return options, fmt.Errorf("server %d of %d: %w", n+1, len(c.opts.Servers), err)
		}
	}
	options.Servers = c.opts.Servers
	if !slices.ContainsFunc(c.opts.Servers, func(s string) bool { return strings.HasPrefix(s, "ws://") }) {
		// Not Secure yet: that a URL, a CA or the broker makes it. Of ws:// this alone
		// would make wss://.
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites}
	}
	list := []nats.Option{
		nats.Name(c.opts.ServerID + "/" + c.opts.Version),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(reconnectBuffer),
		nats.ReconnectToServer(c.next),
		nats.SetCustomDialer(dialer{c}),
		nats.SkipHostLookup(), // the dialer looks up, and tries all addresses
		nats.Timeout(connectTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.CustomInboxPrefix(protocol.InboxPrefix(c.opts.ServerID)),
		nats.NoCallbacksAfterClientClose(),
		nats.DisconnectErrHandler(c.onDisconnect),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.note(err) }),
		nats.ErrorHandler(c.onError),
	}
	if c.opts.CredentialsFile != "" {
		list = append(list, nats.UserCredentials(c.opts.CredentialsFile))
	}
	if c.opts.CAFile != "" {
		list = append(list, nats.RootCAs(c.opts.CAFile))
	}
	if c.opts.CertFile != "" {
		list = append(list, nats.ClientCert(c.opts.CertFile, c.opts.KeyFile))
	}
	if c.opts.TLSFirst {
		list = append(list, nats.TLSHandshakeFirst())
	}
	for _, option := range list {
		if err := option(&options); err != nil {
			return options, err
		}
	}
	return options, nil
}

// checkURL refuses what the client could not use, without repeating it: it may
// hold a password.
func checkURL(server string) error {
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return errors.New("is not a URL")
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return fmt.Errorf("its scheme is %q, must be nats, tls, ws or wss", u.Scheme)
	}
	if u.Hostname() == "" {
		return errors.New("names no host")
	}
	return nil
}

// errNotYet is what the client's own first round of attempts comes to.
var errNotYet = errors.New("not tried yet")

// dialer reaches the broker. The client's first round over all its URLs, which
// would block and has no pauses, it lets come to nothing: all real attempts are
// those that next chose.
type dialer struct{ conn *Conn }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	d.conn.mu.Lock()
	tried := d.conn.everTried
	d.conn.mu.Unlock()
	if !tried {
		return nil, errNotYet
	}
	conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(d.conn.ctx, network, address)
	if err != nil {
		return nil, err
	}
	// The client's Close waits while it shakes hands with a broker that does not
	// answer; this ends it.
	return &dialed{conn, context.AfterFunc(d.conn.ctx, func() { _ = conn.Close() })}, nil
}

// dialed is a connection that Conn.Close cuts. The client compares connections,
// so it goes by its pointer.
type dialed struct {
	net.Conn
	forget func() bool
}

func (d *dialed) Close() error {
	d.forget()
	return d.Conn.Close()
}

// next chooses where to connect and after which pause: full jitter up to a
// bound that doubles, also before the first attempt at each further URL, which
// the client would otherwise make at once with the whole fleet. Only the very
// first attempt of the process is made at once.
func (c *Conn) next(servers []nats.Server, _ nats.ServerInfo) (*nats.Server, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	attempt := c.attempts
	c.attempts++
	server := &servers[attempt%len(servers)]
	if !c.everTried {
		c.everTried = true
		return server, 0
	}
	if c.nc != nil {
		// The client tells nobody why the attempt before came to nothing if it was
		// the broker that said so; and it cannot be asked from here.
		go func(nc *nats.Conn) { c.note(nc.LastError()) }(c.nc)
	}
	return server, c.delay(attempt)
}

func (c *Conn) delay(attempt int) time.Duration {
	bound := c.opts.MaxDelay
	if attempt < 16 {
		bound = min(bound, firstDelay<<attempt)
	}
	return rand.N(bound)
}

func (c *Conn) onConnect(nc *nats.Conn) {
	server := c.redact(nc.ConnectedUrlRedacted())
	c.mu.Lock()
	c.endSession() // of which the loss was not told
	c.session, c.end = context.WithCancel(c.ctx)
	c.attempts, c.since, c.server = 0, time.Now(), server
	c.lastError, c.violations = "", nil
	c.mu.Unlock()
	c.opts.Log.Info("connected to the broker", zap.String("server", server))
	if c.opts.OnConnect != nil {
		c.opts.OnConnect()
	}
}

func (c *Conn) onDisconnect(_ *nats.Conn, err error) {
	c.lost()
	if err != nil {
		c.note(err)
		c.opts.Log.Warn("lost the broker", zap.String("error", c.redact(err.Error())))
	}
}

func (c *Conn) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		c.endSession()
		c.server, c.since = "", time.Now()
	}
}

// endSession has everything that waits for an answer stop waiting. c.mu is held.
func (c *Conn) endSession() {
	if c.session != nil {
		c.end()
		c.session, c.end = nil, nil
	}
}

// note keeps an error for State.
func (c *Conn) note(err error) {
	if err == nil || errors.Is(err, errNotYet) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastError = c.redact(err.Error())
}

// onError keeps permission violations: an operator has to see them, since the
// broker drops what it does not permit and says so only here.
func (c *Conn) onError(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		c.opts.Log.Debug("a push got lost; the mailbox is read instead")
		if c.opts.OnConnect != nil {
			c.opts.OnConnect()
		}
		return
	}
	c.note(err)
	text := c.redact(err.Error())
	c.opts.Log.Error("broker", zap.String("error", text))
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.violations {
		if known == text {
			return
		}
	}
	if len(c.violations) < maxViolations {
		c.violations = append(c.violations, text)
	}
}

// redact takes what the configured URLs say of credentials out of a message.
func (c *Conn) redact(message string) string {
	for _, server := range c.opts.Servers {
		_, rest, found := strings.Cut(server, "://")
		if !found {
			rest = server
		}
		at := strings.LastIndexByte(rest, '@')
		if at <= 0 {
			continue
		}
		name, password, both := strings.Cut(rest[:at], ":")
		if !both {
			password = name // a token
		}
		message = strings.ReplaceAll(message, rest[:at], "xxxxx")
		if password != "" {
			message = strings.ReplaceAll(message, password, "xxxxx")
			if plain, err := url.PathUnescape(password); err == nil {
				message = strings.ReplaceAll(message, plain, "xxxxx")
			}
		}
	}
	return message
}
