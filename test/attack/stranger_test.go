package attack

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"devserver-agent/cmd/devserverctl/fleet"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// TestWhoIsNotOfTheFleetStaysOut tries to log in.
func TestWhoIsNotOfTheFleetStaysOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	other, err := fleet.Init(filepath.Join(t.TempDir(), "other"), fleet.Options{Brokers: []fleet.Broker{{Name: "b", Host: "127.0.0.1"}}})
	s.must(err)
	_, err = other.Enrol(evil, "", false)
	s.must(err)
	own, err := nkeys.CreateUser()
	s.must(err)
	public, err := own.PublicKey()
	s.must(err)
	sign := func(nonce []byte) ([]byte, error) { return own.Sign(nonce) }
	stolen := func() (string, error) { // the victim's statement, without its key
		text, err := os.ReadFile(s.fleet.Path("agents", victim+".creds"))
		if err != nil {
			return "", err
		}
		return nkeys.ParseDecoratedJWT(text)
	}
	for name, options := range map[string][]nats.Option{
		"with nothing":                          nil,
		"with a password":                       {nats.UserInfo("admin", "admin")},
		"with a token":                          {nats.Token("admin")},
		"with a key of its own":                 {nats.Nkey(public, sign)},
		"as a host of another fleet":            {nats.UserCredentials(other.Path("agents", evil+".creds"))},
		"as the control plane of another fleet": {nats.UserCredentials(other.ControlPlane())},
		"with the victim's statement, no key":   {nats.UserJWT(stolen, sign)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.tryLogin(options...); !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestTheBrokerIsKnownByItsCertificate is about who stands between.
func TestTheBrokerIsKnownByItsCertificate(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	credentials := nats.UserCredentials(s.fleet.Path("agents", victim+".creds"))
	t.Run("an authority that is not the fleet's", func(t *testing.T) {
		other, err := fleet.Init(filepath.Join(t.TempDir(), "other"), fleet.Options{Brokers: []fleet.Broker{{Name: "b", Host: "127.0.0.1"}}})
		s.must(err)
		if _, err := nats.Connect(s.url(), nats.RootCAs(other.CA()), credentials, nats.Timeout(wait.Patience)); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("its name", func(t *testing.T) { // the others go by its address
		dir, named := t.TempDir(), &site{TB: t}
		var err error
		named.fleet, err = fleet.Init(filepath.Join(dir, "named"), fleet.Options{
			Brokers:   []fleet.Broker{{Name: "nats-1", Host: "broker.example"}},
			ConfigDir: filepath.Join(dir, "named", "brokers", "nats-1"), StoreDir: filepath.Join(dir, "store"),
		})
		named.must(err)
		named.serve()
		there := astray{strings.TrimPrefix(named.url(), "tls://")}
		conn, err := nats.Connect("tls://broker.example:4222", nats.RootCAs(named.fleet.CA()), nats.UserCredentials(named.fleet.ControlPlane()), nats.SetCustomDialer(there), nats.Timeout(wait.Patience))
		named.must(err)
		conn.Close()
	})
	t.Run("another name", func(t *testing.T) {
		there := astray{strings.TrimPrefix(s.url(), "tls://")}
		if _, err := nats.Connect("tls://broker.example:4222", nats.RootCAs(s.fleet.CA()), credentials, nats.SetCustomDialer(there), nats.Timeout(wait.Patience)); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without TLS", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url(), "tls://"))
		s.must(err)
		defer conn.Close()
		s.must(conn.SetDeadline(time.Now().Add(wait.Patience)))
		_, err = conn.Write([]byte("CONNECT {\"verbose\":true}\r\nPING\r\n"))
		s.must(err)
		for line := bufio.NewScanner(conn); line.Scan(); {
			if strings.HasPrefix(line.Text(), "PONG") || strings.HasPrefix(line.Text(), "+OK") {
				t.Errorf("the broker says %s", line.Text())
			}
		}
	})
}

// astray leads every connection to one address, whatever name was asked for.
type astray struct{ to string }

func (a astray) Dial(network, _ string) (net.Conn, error) { return net.Dial(network, a.to) }

// TestWithMutualTLSACertificateIsNeededToo connects without one.
func TestWithMutualTLSACertificateIsNeededToo(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{Mutual: true})
	pair := func(f *fleet.Fleet) nats.Option {
		return nats.ClientCert(f.Path("agents", evil+".pem"), f.Path("agents", evil+".key"))
	}
	c := s.login(evil, pair(s.fleet))
	if _, err := c.Request(protocol.FactsSubject(evil), []byte("{}"), wait.Patience); err != nil {
		t.Errorf("with its certificate: %v", err)
	}
	other, err := fleet.Init(filepath.Join(t.TempDir(), "other"), fleet.Options{Mutual: true, Brokers: []fleet.Broker{{Name: "b", Host: "127.0.0.1"}}})
	s.must(err)
	_, err = other.Enrol(evil, "", false)
	s.must(err)
	credentials := nats.UserCredentials(s.fleet.Path("agents", evil+".creds"))
	for name, options := range map[string][]nats.Option{"with none": {credentials}, "with another fleet's": {credentials, pair(other)}} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.tryLogin(options...); err == nil {
				t.Error("it is let in")
			}
		})
	}
}

// TestARevokedHostIsCutOff revokes one that is connected.
func TestARevokedHostIsCutOff(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	c, honest := s.login(evil), s.login(victim)
	text, err := os.ReadFile(s.fleet.Path("agents", evil+".creds"))
	s.must(err)
	kept := filepath.Join(t.TempDir(), "kept.creds")
	s.must(os.WriteFile(kept, text, 0o600))
	s.must(s.fleet.Revoke(evil))
	s.must(s.fleet.Tell(t.Context(), s.url()))
	select {
	case <-c.ended:
	case <-time.After(wait.Patience):
		t.Error("it is still connected")
	}
	if _, err := s.tryLogin(nats.UserCredentials(kept)); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("it logs in again: %v", err)
	}
	if _, err := honest.Request(protocol.FactsSubject(victim), []byte("{}"), wait.Patience); err != nil {
		t.Errorf("another host is cut off too: %v", err)
	}
	_, err = s.fleet.Enrol(evil, "", false)
	s.must(err)
	if _, err := s.login(evil).Request(protocol.FactsSubject(evil), []byte("{}"), wait.Patience); err != nil {
		t.Errorf("enrolled anew: %v", err)
	}
}

// TestWhoOwnsTheEnrolmentKeyMakesHostsAndNothingElse: the control plane's owner, or who
// took that key from it, signs users as he likes. He can be any host, and nobody else.
func TestWhoOwnsTheEnrolmentKeyMakesHostsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	text, err := os.ReadFile(s.fleet.EnrolmentKey())
	s.must(err)
	seed, account, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	key, err := nkeys.FromSeed([]byte(seed))
	s.must(err)
	user := func(name string, change func(*jwt.UserClaims)) []nats.Option {
		pair, err := nkeys.CreateUser()
		s.must(err)
		public, err := pair.PublicKey()
		s.must(err)
		c := jwt.NewUserClaims(public)
		c.Name, c.IssuerAccount = name, account
		c.SetScoped(true)
		change(c)
		token, err := c.Encode(key)
		s.must(err)
		return []nats.Option{
			nats.CustomInboxPrefix(protocol.InboxPrefix(evil)),
			nats.UserJWT(func() (string, error) { return token, nil }, func(nonce []byte) ([]byte, error) { return pair.Sign(nonce) }),
		}
	}
	wide := func(c *jwt.UserClaims) { c.SetScoped(false) }
	for name, change := range map[string]func(*jwt.UserClaims){
		"with every subject":   wide,
		"with his own bounds":  func(c *jwt.UserClaims) { wide(c); c.Permissions.Pub.Allow.Add(">") },
		"of the control plane": func(c *jwt.UserClaims) { wide(c); c.IssuerAccount = "" },
	} {
		if c, err := s.tryLogin(user(evil, change)...); err == nil {
			t.Errorf("a user %s is let in", name)
			c.Close()
		}
	}
	before := s.contents()
	c, err := s.tryLogin(user(evil, func(*jwt.UserClaims) {})...)
	s.must(err)
	for _, subject := range []string{protocol.StatusSubject(victim), protocol.MailboxSubject(evil), "$JS.API.INFO", ">"} {
		s.must(c.Publish(subject, []byte("{}")))
		if err := c.refused(t); err != nil && !errors.Is(err, nats.ErrPermissionViolation) {
			t.Error(err)
		}
	}
	// A name becomes part of a subject. A wildcard is all hosts, any of which he could
	// name anyway, and no more than hosts.
	for _, name := range []string{"*", ">", "a.b", victim + ".>"} {
		odd, err := s.tryLogin(user(name, func(*jwt.UserClaims) {})...)
		if err != nil {
			continue
		}
		for _, subject := range []string{protocol.MailboxSubject(victim), protocol.MailboxSubject("*"), "$JS.API.STREAM.PURGE." + protocol.MailboxStream, "$SYS.REQ.SERVER.PING", protocol.PushSubject(victim)} {
			s.must(odd.Publish(subject, []byte("{}")))
			if err := odd.refused(t); err != nil && !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%q at %s: %v", name, subject, err)
			}
		}
	}
	if diff := cmp.Diff(before, s.contents()); diff != "" {
		t.Errorf("the streams have changed:\n%s", diff)
	}
	_, err = c.Request(protocol.FactsSubject(evil), []byte("{}"), wait.Patience)
	s.must(err) // it is a host
}
