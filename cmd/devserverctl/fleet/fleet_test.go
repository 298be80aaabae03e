package fleet_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"devserver-agent/cmd/devserverctl/fleet"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func one() fleet.Options {
	return fleet.Options{Brokers: []fleet.Broker{{Name: "nats-1", Host: "broker.example"}}}
}

func newFleet(t *testing.T, o fleet.Options) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Init(filepath.Join(t.TempDir(), "fleet"), o)
	must(t, err)
	return f
}

func TestEverythingIsForItsOwnerOnly(t *testing.T) {
	o := one()
	o.Mutual = true
	f := newFleet(t, o)
	_, err := f.Enrol("a2-1", "", false)
	must(t, err)
	files := 0
	must(t, filepath.WalkDir(f.Path(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if !entry.IsDir() {
			files++
		}
		return nil
	}))
	if files < 15 {
		t.Errorf("%d files only", files)
	}
}

func TestWhatInitRefuses(t *testing.T) {
	broker := func(texts ...string) func(t *testing.T) error {
		return func(t *testing.T) error {
			var o fleet.Options
			for _, text := range texts {
				b, err := fleet.ParseBroker(text)
				if err != nil {
					return err
				}
				o.Brokers = append(o.Brokers, b)
			}
			_, err := fleet.Init(t.TempDir(), o)
			return err
		}
	}
	for name, c := range map[string]struct {
		try  func(t *testing.T) error
		says string
	}{
		"no broker":               {broker(), "one broker, or three and more"},
		"two brokers":             {broker("a=x", "b=y"), "one broker, or three and more"},
		"the same name twice":     {broker("a=x", "a=y", "c=z"), "two brokers are named a"},
		"no host":                 {broker("a"), "is not NAME=HOST[:PORT]"},
		"an empty host":           {broker("a="), "no host name or address"},
		"a host that writes more": {broker("a=x\" }\nauthorization {"), "no host name or address"},
		"a name that is a path":   {broker("../a=x"), "no name for a broker"},
		"a port that is none":     {broker("a=x:70000"), "no port"},
		"a folder with something": {func(t *testing.T) error {
			d := t.TempDir()
			must(t, os.WriteFile(filepath.Join(d, "mine"), nil, 0o600))
			_, err := fleet.Init(d, one())
			return err
		}, "is not empty"},
		"a fleet": {func(t *testing.T) error { _, err := fleet.Init(newFleet(t, one()).Path(), one()); return err }, "there is a fleet already"},
		"a folder that writes more": {func(t *testing.T) error {
			o := one()
			o.StoreDir = "/a\" }"
			_, err := fleet.Init(t.TempDir(), o)
			return err
		}, "absolute path without quotes"},
		"a folder that is relative": {func(t *testing.T) error {
			o := one()
			o.ConfigDir = "etc"
			_, err := fleet.Init(t.TempDir(), o)
			return err
		}, "absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.try(t); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want ...%s...", err, c.says)
			}
		})
	}
}

// An Init that was cut is not taken for a fleet, and can be done again.
func TestAnInitThatWasCutIsBegunAnew(t *testing.T) {
	f := newFleet(t, one())
	must(t, os.Remove(f.Path("register.json")))
	if _, err := fleet.Open(f.Path()); !errors.Is(err, fleet.ErrNoFleet) {
		t.Fatal(err)
	}
	again, err := fleet.Init(f.Path(), one())
	must(t, err)
	if _, err := again.Enrol("a2-1", "", false); err != nil {
		t.Error(err)
	}
}

func TestEnrolAndRevoke(t *testing.T) {
	f := newFleet(t, one())
	for _, id := range []string{"", ">", "../x", "a.b", strings.Repeat("a", 65)} {
		if _, err := f.Enrol(id, "", false); !errors.Is(err, fleet.ErrServerID) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := f.Revoke("a2-1"); !errors.Is(err, fleet.ErrUnknown) {
		t.Error(err)
	}
	files, err := f.Enrol("a2-1", "", false)
	must(t, err)
	text, err := os.ReadFile(files[0])
	must(t, err)
	token, err := nkeys.ParseDecoratedJWT(text)
	must(t, err)
	claims, err := jwt.DecodeUserClaims(token)
	must(t, err)
	publish, subscribe := protocol.AgentSubjects("a2-1")
	got, want := claims.Permissions, jwt.Permissions{}
	want.Pub.Allow.Add(publish...)
	want.Sub.Allow.Add(subscribe...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("permissions (-want +got):\n%s", diff)
	}
	if _, err := f.Enrol("a2-1", "", false); !errors.Is(err, fleet.ErrEnrolled) {
		t.Error(err)
	}
	own, err := nkeys.CreateUser()
	must(t, err)
	public, err := own.PublicKey()
	must(t, err)
	files, err = f.Enrol("a2-1", public, true)
	must(t, err)
	if text, err := os.ReadFile(files[0]); err != nil || strings.Contains(string(text), "SEED") {
		t.Errorf("the credentials of a host with a key of its own: %s, %v", text, err)
	}
	if _, err := f.Enrol("a2-2", "UNOTAKEY", false); err == nil {
		t.Error("what is no key is taken for one")
	}
	reopened, err := fleet.Open(f.Path())
	must(t, err)
	must(t, reopened.Revoke("a2-1"))
	raw, err := os.ReadFile(f.Path("jwt", "AGENTS.jwt"))
	must(t, err)
	account, err := jwt.DecodeAccountClaims(string(raw))
	must(t, err)
	if len(account.Revocations) != 2 || account.Revocations[public] == 0 {
		t.Errorf("revoked are %v", account.Revocations)
	}
	config, err := os.ReadFile(f.Path("brokers", "nats-1", "nats-server.conf"))
	must(t, err)
	if !strings.Contains(string(config), strings.TrimSpace(string(raw))) {
		t.Error("the broker's configuration does not know it")
	}
	if _, err := os.Stat(files[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the credentials are still there")
	}
}

// What is generated is a configuration that nats-server takes, without a warning.
func TestConfigurationsAreValid(t *testing.T) {
	dir := t.TempDir()
	three := fleet.Options{Brokers: []fleet.Broker{{Name: "n1", Host: "10.0.0.1"}, {Name: "n2", Host: "nats-2.example"}, {Name: "n3", Host: "fd00::3", Port: 14222}}}
	for name, o := range map[string]fleet.Options{"one": one(), "three": three} {
		t.Run(name, func(t *testing.T) {
			o.ConfigDir, o.StoreDir, o.Mutual = filepath.Join(dir, name, "brokers", o.Brokers[0].Name), filepath.Join(dir, "store"), name == "three"
			f, err := fleet.Init(filepath.Join(dir, name), o)
			must(t, err)
			for _, b := range f.Brokers() {
				opts, err := server.ProcessConfigFile(f.Path("brokers", b.Name, "nats-server.conf"))
				must(t, err)
				asks := opts.TLSConfig != nil && opts.TLSConfig.ClientAuth == tls.RequireAndVerifyClientCert
				if len(opts.TrustedOperators) != 1 || opts.TLSConfig == nil || asks != o.Mutual || !opts.SyncAlways {
					t.Errorf("%s: %d operators, TLS %t, clients' certificates %t, sync always %t", b.Name, len(opts.TrustedOperators), opts.TLSConfig != nil, asks, opts.SyncAlways)
				}
				if len(opts.Routes) != len(o.Brokers)-1 || (opts.Cluster.Name == "") != (len(o.Brokers) == 1) {
					t.Errorf("%s: cluster %q with routes %v", b.Name, opts.Cluster.Name, opts.Routes)
				}
			}
		})
	}
}

// A broker on this machine is reached by its address: not every machine knows what
// localhost is.
func TestABrokerIsReachedByItsAddress(t *testing.T) {
	b, err := fleet.ParseBroker("nats-1=127.0.0.1:14222")
	must(t, err)
	dir := t.TempDir()
	f, err := fleet.Init(filepath.Join(dir, "fleet"), fleet.Options{
		Brokers: []fleet.Broker{b}, ConfigDir: filepath.Join(dir, "fleet", "brokers", b.Name), StoreDir: filepath.Join(dir, "store"),
	})
	must(t, err)
	s := serve(t, f)
	nc, err := nats.Connect("tls://"+s.Addr().String(), nats.RootCAs(f.CA()), nats.UserCredentials(f.ControlPlane()), nats.TLSHandshakeFirst(), nats.Timeout(wait.Patience))
	must(t, err)
	defer nc.Close()
	must(t, nc.FlushTimeout(wait.Patience))
	state, err := nc.TLSConnectionState()
	must(t, err)
	cert := state.PeerCertificates[0]
	if len(cert.IPAddresses) != 1 || !cert.IPAddresses[0].Equal(net.ParseIP(b.Host)) || len(cert.DNSNames) > 0 {
		t.Errorf("the certificate is for %v and %v, not for %s alone", cert.IPAddresses, cert.DNSNames, b.Host)
	}
}

// serve starts a fleet's broker from the configuration that was made, on a free port.
func serve(t *testing.T, f *fleet.Fleet) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(filepath.Join(f.ConfigDir(), "nats-server.conf"))
	must(t, err)
	if opts.Host != f.Brokers()[0].Host {
		t.Errorf("it listens on %s", opts.Host)
	}
	opts.Port, opts.NoSigs, opts.NoLog = server.RANDOM_PORT, true, true
	s, err := server.NewServer(opts)
	must(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(wait.Patience) {
		t.Fatal("the broker is not ready")
	}
	return s
}

func TestRenewMakesCertificatesOfTheSameAuthority(t *testing.T) {
	o := fleet.Options{Brokers: []fleet.Broker{{Name: "nats-1", Host: "broker.example"}}, Leaves: []fleet.Broker{{Name: "leaf-1", Host: "10.0.0.7"}}}
	f := newFleet(t, o)
	roots := x509.NewCertPool()
	text, err := os.ReadFile(f.CA())
	must(t, err)
	roots.AppendCertsFromPEM(text)
	serials := func() (all []string) {
		for _, b := range slices.Concat(o.Brokers, o.Leaves) {
			pair, err := tls.LoadX509KeyPair(f.Path("brokers", b.Name, "server.pem"), f.Path("brokers", b.Name, "server.key"))
			must(t, err)
			_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: b.Host, Roots: roots})
			must(t, err)
			all = append(all, pair.Leaf.SerialNumber.String())
		}
		return all
	}
	first := serials()
	renewed, err := f.Renew("leaf-1")
	must(t, err)
	second := serials()
	if len(renewed) != 1 || second[0] != first[0] || second[1] == first[1] {
		t.Errorf("%v: %v became %v", renewed, first, second)
	}
	renewed, err = f.Renew()
	must(t, err)
	third := serials()
	if len(renewed) != 2 || third[0] == second[0] || third[1] == second[1] {
		t.Errorf("%v: %v became %v", renewed, second, third)
	}
	if _, err := f.Renew("nats-1", "nobody"); !errors.Is(err, fleet.ErrNoBroker) || !slices.Equal(serials(), third) {
		t.Errorf("%v, and something was renewed", err)
	}
}
