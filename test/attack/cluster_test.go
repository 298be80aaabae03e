package attack

import (
	"context"
	"fmt"
	"os"
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

// TestAClusterOfThreeIsOneFleet starts three brokers from what was generated: they
// find each other over TLS, know the same users, and go on without one of them; a
// revocation told to one is known to all.
func TestAClusterOfThreeIsOneFleet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var o fleet.Options
	for n := range 3 {
		// Addresses of the loopback that are this test's own, each with the usual ports.
		o.Brokers = append(o.Brokers, fleet.Broker{Name: fmt.Sprintf("n%d", n+1), Host: fmt.Sprintf("127.%d.%d.%d", 200+os.Getpid()>>8%50, os.Getpid()%256, n+1)})
	}
	o.ConfigDir, o.StoreDir = filepath.Join(dir, "here"), filepath.Join(dir, "store")
	f, err := fleet.Init(filepath.Join(dir, "fleet"), o)
	s := &site{TB: t, fleet: f}
	s.must(err)
	var urls []string
	var servers []*server.Server
	for _, b := range f.Brokers() {
		urls = append(urls, b.URL())
		servers = append(servers, s.onItsHost(b, o, dir))
	}
	control, err := broker.Open(t.Context(), broker.Options{URL: strings.Join(urls, ","), CredentialsFile: f.ControlPlane(), CAFile: f.CA()})
	s.must(err)
	t.Cleanup(control.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 6*wait.Patience)
	defer cancel()
	s.must(wait.Within(wait.Patience, func() error { // until the cluster has chosen a leader
		_, err := control.Ensure(ctx)
		return err
	}))
	for _, id := range []string{evil, victim} {
		_, err := f.Enrol(id, "", false)
		s.must(err)
	}
	connect := func(id string, n int) (*nats.Conn, error) {
		return nats.Connect(urls[n], nats.RootCAs(f.CA()), nats.UserCredentials(f.Path("agents", id+".creds")), nats.CustomInboxPrefix(protocol.InboxPrefix(id)), nats.NoReconnect(), nats.Timeout(wait.Patience))
	}
	evilAt := make([]*nats.Conn, 3)
	for n := range servers {
		evilAt[n], err = connect(evil, n)
		s.must(err)
		defer evilAt[n].Close()
		_, err = evilAt[n].Request(protocol.FactsSubject(evil), []byte("{}"), wait.Patience)
		s.must(err)
	}
	copied, err := os.ReadFile(f.Path("agents", evil+".creds"))
	s.must(err)
	s.must(f.Revoke(evil))
	s.must(f.Tell(ctx, urls[0]))
	s.must(os.WriteFile(f.Path("agents", evil+".creds"), copied, 0o600))
	for n := range servers {
		for !evilAt[n].IsClosed() {
			if ctx.Err() != nil {
				t.Fatalf("broker %d did not cut it off", n+1)
			}
			_ = evilAt[n].FlushTimeout(wait.Patience) // it ends with the connection
		}
		if conn, err := connect(evil, n); err == nil {
			conn.Close()
			t.Errorf("broker %d lets it in again", n+1)
		}
	}
	servers[0].Shutdown()
	conn, err := connect(victim, 1)
	s.must(err)
	defer conn.Close()
	s.must(wait.Within(wait.Patience, func() error { // until another leader is chosen
		_, err := conn.Request(protocol.FactsSubject(victim), []byte("{}"), 2*time.Second)
		return err
	}))
}
