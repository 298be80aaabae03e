package broker

import (
	"errors"
	"math/rand/v2"
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
)

func (c *Conn) natsOptions() []nats.Option {
	o := []nats.Option{
		nats.Name(c.opts.ServerID + "/" + c.opts.Version),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(reconnectBuffer),
		nats.ReconnectToServer(c.next),
		nats.Timeout(connectTimeout),
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.CustomInboxPrefix(protocol.InboxPrefix(c.opts.ServerID)),
		nats.NoCallbacksAfterClientClose(),
		nats.ConnectHandler(c.onConnect),
		nats.ReconnectHandler(c.onConnect),
		nats.DisconnectErrHandler(c.onDisconnect),
		nats.ErrorHandler(c.onError),
	}
	if c.opts.CredentialsFile != "" {
		o = append(o, nats.UserCredentials(c.opts.CredentialsFile))
	}
	if c.opts.CAFile != "" {
		o = append(o, nats.RootCAs(c.opts.CAFile))
	}
	if c.opts.CertFile != "" {
		o = append(o, nats.ClientCert(c.opts.CertFile, c.opts.KeyFile))
	}
	return o
}

// next chooses where to connect and after which pause: full jitter up to a
// bound that doubles, also before the first attempt at each further URL, which
// the client would otherwise make at once with the whole fleet.
func (c *Conn) next(servers []nats.Server, _ nats.ServerInfo) (*nats.Server, time.Duration) {
	c.mu.Lock()
	attempt := c.attempts
	c.attempts++
	c.mu.Unlock()
	return &servers[attempt%len(servers)], c.delay(attempt)
}

func (c *Conn) delay(attempt int) time.Duration {
	bound := c.opts.MaxDelay
	if attempt < 16 {
		bound = min(bound, firstDelay<<attempt)
	}
	return rand.N(bound)
}

func (c *Conn) onConnect(nc *nats.Conn) {
	c.mu.Lock()
	c.attempts, c.connected, c.violations = 0, time.Now(), nil
	ready := c.ready
	c.mu.Unlock()
	c.opts.Log.Info("connected to the broker", zap.String("server", nc.ConnectedUrlRedacted()))
	if c.opts.OnConnect != nil && ready {
		c.opts.OnConnect()
	}
}

func (c *Conn) onDisconnect(_ *nats.Conn, err error) {
	c.mu.Lock()
	c.lost = time.Now()
	c.mu.Unlock()
	if err != nil {
		c.opts.Log.Warn("lost the broker", zap.String("error", redact(err.Error(), c.opts.Servers)))
	}
}

// onError keeps permission violations: an operator has to see them, since the
// broker drops what it does not permit and says so only here.
func (c *Conn) onError(_ *nats.Conn, _ *nats.Subscription, err error) {
	c.opts.Log.Error("broker", zap.String("error", redact(err.Error(), c.opts.Servers)))
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.violations) < maxViolations {
		c.violations = append(c.violations, err.Error())
	}
}
