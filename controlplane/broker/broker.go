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

	// How the control plane logs in; empty ones are not used. The last three are of a
	// server that was given: to an embedded one there is no network.
	CredentialsFile, CAFile, CertFile, KeyFile string

	Replicas  int       // of each stream; 0: three in a cluster, else one
	Retention Retention // zero: the defaults

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
}

// Open starts or reaches NATS. A given server that does not answer is waited
// for until ctx ends.
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
		b.Conn, err = nats.Connect("", append(append(connOptions(b.log), nats.InProcessServer(b.embedded)), credentials(opts)...)...)
	} else {
		b.Conn, err = dial(ctx, opts, b.log)
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

func dial(ctx context.Context, opts Options, log *zap.Logger) (*nats.Conn, error) {
	options := append(connOptions(log), credentials(opts)...)
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
		if !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout) {
			return nil, err
		}
		log.Warn("NATS does not answer; it is asked again every second, and no job is taken until then",
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

func connOptions(log *zap.Logger) []nats.Option {
	return []nats.Option{
		nats.Name("devserver-controlplane"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1), // a publish that cannot be sent is an error, and is retried from the jobs
		nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
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
