// Package brokertest runs a real NATS server with the streams and the mapping
// of the wire contract, for tests of what talks to it.
package brokertest

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// maxStore is as much as all streams together may reserve. It takes no room on the
// disk. Without it the server allows three quarters of the disk that is free, which
// on a small one is less than the streams of the contract reserve.
const maxStore = 1 << 40

// Broker is a running server. Its ClientURL is where agents connect.
type Broker struct{ *server.Server }

// Options are those of a server for one test whose store is dir: on a free port of
// 127.0.0.1, with JetStream, silent. It leaves it to the kernel when a write comes to
// the disk, as in most tests nothing dies but processes; see SyncAlways.
func Options(dir string) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir,
		JetStreamMaxStore: maxStore, NoSigs: true, NoLog: true,
	}
}

// SyncAlways is a change of options that has the server sync every write before it
// acknowledges it, as the product's own does. It is for tests of what is left after a
// broker was killed or lost its power, and for measurements.
func SyncAlways(o *server.Options) { o.SyncAlways = true }

// Start starts a server whose store is dir; starting it again on the same dir
// is a restart. configure changes Options before: a fixed port, a larger
// max_payload, SyncAlways, TLS.
func Start(dir string, configure ...func(*server.Options)) (*Broker, error) {
	opts := Options(dir)
	for _, change := range configure {
		change(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("test broker: %w", err)
	}
	from, to := protocol.FetchMapping()
	if err := s.GlobalAccount().AddMapping(from, to); err != nil {
		return nil, fmt.Errorf("test broker: map %s: %w", from, err)
	}
	s.Start()
	if !s.ReadyForConnections(wait.Patience) {
		s.Shutdown()
		return nil, fmt.Errorf("test broker: not ready within %s", wait.Patience)
	}
	b := &Broker{s}
	if err := b.streams(opts); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// streams makes what the control plane would make, by its own code.
func (b *Broker) streams(opts *server.Options) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	control, err := broker.Open(ctx, broker.Options{URL: b.ClientURL(), CAFile: opts.TLSCaCert})
	if err != nil {
		return fmt.Errorf("test broker: %w", err)
	}
	defer control.Close()
	if err := ensure(ctx, control); err != nil {
		return fmt.Errorf("test broker: %w", err)
	}
	return nil
}

// ensure asks again where the broker does not answer in time, as the control plane does:
// its disk may have stalled.
func ensure(ctx context.Context, b *broker.Broker) error {
	var err error
	slow := wait.Within(wait.Patience, func() error {
		if _, err = b.Ensure(ctx); broker.Away(err) && ctx.Err() == nil {
			return err
		}
		return nil
	})
	return cmp.Or(slow, err)
}

// JetStream is a client's view of a broker until the test ends, as patient as the test is.
func JetStream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, nats.Timeout(wait.Patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(wait.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Stop ends the server; its store is on disk when Stop returns.
func (b *Broker) Stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

// TLS is a change of options that has the server ask for TLS with a
// certificate that caFile vouches for.
func TLS(certificate tls.Certificate, caFile string) func(*server.Options) {
	return func(o *server.Options) {
		o.TLS, o.TLSCaCert = true, caFile
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
}

// Embedded is a broker as the control plane embeds it, with its streams, for one test.
func Embedded(t testing.TB) *broker.Broker {
	t.Helper()
	b, err := broker.Open(t.Context(), broker.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := ensure(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}
