// Package broker gives the control plane its NATS: a server embedded in this
// process, or one it was told of, with the streams of the wire contract on it.
//
// The embedded server syncs every write to disk before it acknowledges it. It
// listens on loopback only, unless a configuration says whom it asks for credentials. Whoever
// dies in the middle of Ensure leaves some streams made and some not; the next
// Ensure makes the rest.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Options say which NATS to use.
type Options struct {
	// URL of a NATS server or cluster, several separated by commas. Empty: a
	// server is embedded.
	URL string

	// Of an embedded server.
	DataDir string // its store is the folder nats in here
	Listen  string // where agents connect; empty: 127.0.0.1:4222
	// ConfigFile is a configuration of nats-server, with accounts and TLS, as
	// devserverctl fleet init writes it; DataDir and Listen are not used then.
	ConfigFile string
	// SyncInterval is how often acknowledged writes are synced to disk: a power cut loses
	// those since the last time. Zero, as the contract has it: a write is synced before it
	// is acknowledged. For tests. Not used with ConfigFile.
	SyncInterval time.Duration

	// How the control plane logs in; empty ones are not used. The last three are of a
	// server that was given: to an embedded one there is no network.
	CredentialsFile, CAFile, CertFile, KeyFile string

	Replicas  int       // of each stream; 0: three in a cluster, else one
	Retention Retention // zero: the defaults

	// ProbeTimeout is how long CheckMapping asks for an answer; zero: 10 s.
	ProbeTimeout time.Duration

	Log *zap.Logger // nil: silent
}

// Broker is a connection to NATS, and the embedded server if there is one. All
// methods are safe for concurrent use.
type Broker struct {
	Conn *nats.Conn
	JS   jetstream.JetStream

	opts     Options
	log      *zap.Logger
	embedded *server.Server // nil when NATS was given
	session  session
}

// Open starts or reaches NATS. A given server that cannot be reached is waited
// for until ctx ends; one that refuses this client is an error at once.
func Open(ctx context.Context, opts Options) (*Broker, error) {
	b := &Broker{opts: opts, log: opts.Log}
	if b.log == nil {
		b.log = zap.NewNop()
	}
	var err error
	if opts.URL == "" {
		if b.embedded, err = startEmbedded(opts, b.log); err != nil {
			return nil, err
		}
		b.Conn, err = nats.Connect("", append(append(b.connOptions(), nats.InProcessServer(b.embedded)), credentials(opts)...)...)
	} else {
		b.Conn, err = b.dial(ctx)
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if b.JS, err = jetstream.New(b.Conn); err != nil {
		b.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return b, nil
}

// Addr is where agents reach an embedded server; of a given server it is the
// address this process is connected to.
func (b *Broker) Addr() string {
	if b.embedded != nil {
		return b.embedded.ClientURL()
	}
	return b.Conn.ConnectedAddr()
}

// Close ends the connection and the embedded server, which has its streams on
// disk when Close returns.
func (b *Broker) Close() {
	if b.Conn != nil {
		b.Conn.Close()
	}
	if b.embedded != nil {
		b.embedded.Shutdown()
		b.embedded.WaitForShutdown()
	}
}

// Answers of a server without room or time for another client (client.go and errors.go of
// nats-server 2.15). errors.Is finds them by their text: nats.go's type for a server's
// answer compares itself so.
var (
	errFull = errors.New("nats: maximum connections exceeded")
	errSlow = errors.New("nats: authentication timeout")
)

// passing reports whether connecting is worth retrying: the server is unreachable, went
// down meanwhile, or is overloaded. A client that was refused is not retried.
func passing(err error) bool {
	for _, reason := range []error{
		nats.ErrNoServers, nats.ErrTimeout, nats.ErrMaxAccountConnectionsExceeded, errFull, errSlow, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	var address *net.AddrError
	var network *net.OpError
	if errors.As(err, &address) || !errors.As(err, &network) {
		return false
	}
	return slices.Contains([]string{"dial", "read", "write"}, network.Op) // TLS has names of its own for refusals
}

func (b *Broker) dial(ctx context.Context) (*nats.Conn, error) {
	opts := b.opts
	options := append(b.connOptions(), credentials(opts)...)
	if opts.CAFile != "" {
		options = append(options, nats.RootCAs(opts.CAFile))
	}
	if opts.CertFile != "" {
		options = append(options, nats.ClientCert(opts.CertFile, opts.KeyFile))
	}
	for {
		conn, err := nats.Connect(opts.URL, options...)
		if err == nil {
			return conn, nil
		}
		if !passing(err) {
			return nil, err
		}
		b.log.Warn("NATS is unreachable, retrying every second; no jobs are accepted until it is connected",
			zap.String("url", opts.URL), zap.Error(err))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", opts.URL, err)
		case <-time.After(time.Second):
		}
	}
}

func credentials(opts Options) []nats.Option {
	if opts.CredentialsFile == "" {
		return nil
	}
	return []nats.Option{nats.UserCredentials(opts.CredentialsFile)}
}

func (b *Broker) connOptions() []nats.Option {
	log := b.log
	return []nats.Option{
		nats.Name("devserver-controlplane"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1), // a publish that cannot be sent is an error, and is retried from the jobs
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.session.lost()
			if err != nil {
				log.Warn("NATS connection lost", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { log.Info("NATS connection is back", zap.String("url", c.ConnectedUrl())) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS reported an error", zap.Error(err))
		}),
	}
}

// Away reports whether an error says that the broker did not answer, which it may
// do a moment later.
func Away(err error) bool {
	for _, why := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, context.DeadlineExceeded,
	} {
		if errors.Is(err, why) {
			return true
		}
	}
	return false
}

// Forgot reports whether an error says that streams or buckets are missing. Ensure
// recreates them.
func Forgot(err error) bool {
	for _, why := range []error{ErrForgot, jetstream.ErrStreamNotFound, jetstream.ErrBucketNotFound} {
		if errors.Is(err, why) {
			return true
		}
	}
	return false
}
