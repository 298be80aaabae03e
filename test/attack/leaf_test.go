package attack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"devserver-agent/cmd/devserverctl/fleet"
	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// leafSite is a fleet whose two hosts connect to a leaf node.
func leafSite(t *testing.T) (s *site, leaf string) {
	t.Helper()
	dir := t.TempDir()
	at := func(n int) string { return fmt.Sprintf("127.%d.%d.%d", 150+os.Getpid()>>8%50, os.Getpid()%256, n) } // this test's own
	o := fleet.Options{
		Brokers: []fleet.Broker{{Name: "nats-1", Host: at(1)}}, Leaves: []fleet.Broker{{Name: "leaf-1", Host: at(2)}},
		ConfigDir: filepath.Join(dir, "here"), StoreDir: filepath.Join(dir, "store"),
	}
	f, err := fleet.Init(filepath.Join(dir, "fleet"), o)
	s = &site{TB: t, fleet: f}
	s.must(err)
	for _, b := range append(f.Brokers(), f.Leaves()...) {
		s.onItsHost(b, o, dir)
	}
	for _, id := range []string{evil, victim} {
		_, err := f.Enrol(id, "", false)
		s.must(err)
	}
	s.control, err = broker.Open(t.Context(), broker.Options{URL: f.Brokers()[0].URL(), CredentialsFile: f.ControlPlane(), CAFile: f.CA()})
	s.must(err)
	t.Cleanup(s.control.Close)
	_, err = s.control.Ensure(t.Context())
	s.must(err)
	_, err = s.control.JS.Publish(t.Context(), protocol.MailboxSubject(victim), []byte("the victim's mailbox"))
	s.must(err)
	return s, f.Leaves()[0].URL()
}

// onItsHost starts a broker from what was generated for it, as if on a host of its own.
func (s *site) onItsHost(b fleet.Broker, o fleet.Options, dir string) *server.Server {
	s.Helper()
	text, err := os.ReadFile(s.fleet.Path("brokers", b.Name, "nats-server.conf"))
	s.must(err)
	changed := strings.NewReplacer(o.ConfigDir, s.fleet.Path("brokers", b.Name), o.StoreDir, filepath.Join(dir, b.Name)).Replace(string(text))
	file := filepath.Join(dir, b.Name+".conf")
	s.must(os.WriteFile(file, []byte(changed), 0o600))
	opts, err := server.ProcessConfigFile(file)
	s.must(err)
	opts.NoSigs, opts.NoLog = true, true
	one, err := server.NewServer(opts)
	s.must(err)
	one.Start()
	s.Cleanup(func() {
		one.Shutdown()
		one.WaitForShutdown()
	})
	return one
}

// TestALeafNodeCarriesWhatHostsMaySay, and nothing else, both ways; and a host that is
// revoked is cut off there as well.
func TestALeafNodeCarriesWhatHostsMaySay(t *testing.T) {
	t.Parallel()
	s, leaf := leafSite(t)
	login := func(id string) (*client, error) {
		return s.tryLoginAt(leaf, nats.UserCredentials(s.fleet.Path("agents", id+".creds")), nats.CustomInboxPrefix(protocol.InboxPrefix(id)))
	}
	good, err := login(victim)
	s.must(err)
	pushed, err := good.SubscribeSync(protocol.PushSubject(victim))
	s.must(err)
	s.must(wait.Within(wait.Patience, func() error { // until the leaf node is connected
		_, err := good.Request(protocol.FactsSubject(victim), []byte("{}"), 2*time.Second)
		return err
	}))
	reply, err := good.Request(protocol.FetchSubject(victim), nil, wait.Patience)
	s.must(err)
	if string(reply.Data) != "the victim's mailbox" {
		t.Errorf("it fetches %q, %v", reply.Data, reply.Header)
	}
	_, err = s.control.JS.Publish(t.Context(), protocol.MailboxSubject(victim), []byte("another one"))
	s.must(err)
	m, err := pushed.NextMsg(wait.Patience)
	s.must(err)
	if string(m.Data) != "another one" {
		t.Errorf("it is pushed %q", m.Data)
	}

	bad, err := login(evil)
	s.must(err)
	before := s.contents()
	for _, subject := range []string{protocol.StatusSubject(victim), protocol.FetchSubject(victim), protocol.MailboxSubject(evil), "$JS.API.INFO", "$SYS.REQ.SERVER.PING"} {
		s.must(bad.Publish(subject, []byte("{}")))
		if err := bad.refused(t); err != nil && !errors.Is(err, nats.ErrPermissionViolation) {
			t.Error(err)
		}
	}
	for _, reply := range []string{protocol.MailboxSubject(victim), protocol.StatusSubject(victim), "$JS.API.STREAM.PURGE." + protocol.StatusStream} {
		s.must(bad.PublishRequest(protocol.PresenceSubject(evil), reply, []byte("{}")))
		s.must(bad.PublishRequest(protocol.FetchSubject(evil), reply, nil))
	}
	bad.settle(t)
	_, err = good.Request(protocol.FactsSubject(victim), []byte("{}"), wait.Patience) // comes after it all
	s.must(err)
	after := s.contents()
	for _, own := range []string{protocol.FactsStream + " last", protocol.FactsStream + " messages"} {
		delete(before, own)
		delete(after, own)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the streams have changed:\n%s", diff)
	}

	s.must(s.fleet.Revoke(evil))
	s.must(s.fleet.Tell(t.Context()))
	select {
	case <-bad.ended:
	case <-time.After(wait.Patience):
		t.Error("the leaf node does not cut the revoked host off")
	}
	_, err = good.Request(protocol.FactsSubject(victim), []byte("{}"), wait.Patience)
	s.must(err)
}
