package attack

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"devserver-agent/cmd/devserverctl/fleet"
	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

const (
	evil   = "evil-1"   // the host that the attacker owns
	victim = "victim-1" // another host of the fleet
)

// site is a fleet with its broker, control plane's account and two hosts.
type site struct {
	testing.TB
	fleet   *fleet.Fleet
	server  *server.Server
	control *broker.Broker // as the control plane is connected
}

func newSite(t testing.TB, o fleet.Options) *site {
	t.Helper()
	dir := t.TempDir()
	b := fleet.Broker{Name: "nats-1", Host: "127.0.0.1"}
	o.Brokers, o.ConfigDir, o.StoreDir = []fleet.Broker{b}, filepath.Join(dir, "fleet", "brokers", b.Name), filepath.Join(dir, "store")
	f, err := fleet.Init(filepath.Join(dir, "fleet"), o)
	s := &site{TB: t, fleet: f}
	s.must(err)
	s.serve()
	for _, id := range []string{evil, victim} {
		_, err := f.Enrol(id, "", false)
		s.must(err)
	}
	s.control, err = broker.Open(t.Context(), broker.Options{
		URL: s.url(), CredentialsFile: f.ControlPlane(), CAFile: f.CA(), CertFile: f.Path("brokers", "nats-1", "server.pem"), KeyFile: f.Path("brokers", "nats-1", "server.key"),
	})
	s.must(err)
	t.Cleanup(s.control.Close)
	_, err = s.control.Ensure(t.Context())
	s.must(err)
	s.must(s.control.CheckMapping(t.Context()))
	_, err = s.control.JS.Publish(t.Context(), protocol.MailboxSubject(victim), []byte("the victim's mailbox"))
	s.must(err)
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// serve starts the broker from the configuration that was generated, on a port that
// is free.
func (s *site) serve() {
	s.Helper()
	opts, err := server.ProcessConfigFile(filepath.Join(s.fleet.ConfigDir(), "nats-server.conf"))
	s.must(err)
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	s.server, err = server.NewServer(opts)
	s.must(err)
	s.server.Start()
	s.Cleanup(func() {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	})
	if !s.server.ReadyForConnections(wait.Patience) {
		s.Fatal("the broker is not ready")
	}
}

func (s *site) url() string {
	return "tls://127.0.0.1:" + s.server.ClientURL()[strings.LastIndex(s.server.ClientURL(), ":")+1:]
}

// client is an attacker's connection.
type client struct {
	*nats.Conn
	said  chan error // what the broker complains of
	ended chan struct{}
}

// login connects with a host's credentials, and what else an attacker brings.
func (s *site) login(id string, more ...nats.Option) *client {
	s.Helper()
	c, err := s.tryLogin(append([]nats.Option{nats.UserCredentials(s.fleet.Path("agents", id+".creds")), nats.CustomInboxPrefix(protocol.InboxPrefix(id))}, more...)...)
	s.must(err)
	return c
}

func (s *site) tryLogin(options ...nats.Option) (*client, error) {
	return s.tryLoginAt(s.url(), options...)
}

func (s *site) tryLoginAt(url string, options ...nats.Option) (*client, error) {
	c := &client{said: make(chan error, 1024), ended: make(chan struct{})}
	conn, err := nats.Connect(url, append([]nats.Option{
		nats.RootCAs(s.fleet.CA()), nats.NoReconnect(), nats.Timeout(wait.Patience),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.said <- err }),
		nats.ClosedHandler(func(*nats.Conn) { close(c.ended) }),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	c.Conn = conn
	s.Cleanup(conn.Close)
	return c, nil
}

// refused waits for the broker's complaint about what was sent.
func (c *client) refused(t testing.TB) error {
	t.Helper()
	select {
	case err := <-c.said:
		return err
	case <-time.After(wait.Patience):
		t.Error("the broker does not complain")
		return nil
	}
}

// settle waits until the broker has looked at all that was sent.
func (c *client) settle(t testing.TB) {
	t.Helper()
	if err := c.FlushTimeout(wait.Patience); err != nil {
		t.Fatal(err)
	}
}

// contents is what the streams hold: an attack must not change it.
func (s *site) contents() map[string]uint64 {
	s.Helper()
	held := map[string]uint64{}
	ctx, cancel := context.WithTimeout(s.Context(), wait.Patience)
	defer cancel()
	streams := s.control.JS.ListStreams(ctx)
	for info := range streams.Info() {
		held[info.Config.Name+" last"] = info.State.LastSeq
		held[info.Config.Name+" messages"] = info.State.Msgs
	}
	s.must(streams.Err())
	if len(held) < 10 {
		s.Fatalf("the control plane sees only %v", held)
	}
	return held
}

// mailbox is what the victim would read.
func (s *site) mailbox() string {
	s.Helper()
	stream, err := s.control.JS.Stream(s.Context(), protocol.MailboxStream)
	s.must(err)
	m, err := stream.GetLastMsgForSubject(s.Context(), protocol.MailboxSubject(victim))
	s.must(err)
	return string(m.Data)
}
