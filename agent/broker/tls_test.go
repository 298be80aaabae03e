package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"devserver-agent/agent/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// certificate makes one for this host and a file of who vouches for it: itself.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	cert, text := newCertificate(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return cert, file
}

func newCertificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestABrokerThatNobodyVouchesForIsNotConnectedTo(t *testing.T) {
	t.Parallel()
	cert, ca := certificate(t)
	_, stranger := certificate(t)
	b := start(t, t.TempDir(), brokertest.TLS(cert, ca))
	url := strings.Replace(b.ClientURL(), "nats://", "tls://", 1)
	good := connect(t, broker.Options{Servers: []string{url}, CAFile: ca})
	receive(t, "the connect", good.connects)
	if err := good.Publish(ask(t), protocol.StatusSubject(id), "", []byte("{}")); err != nil {
		t.Error(err)
	}
	bad := connect(t, broker.Options{Servers: []string{url}, CAFile: stranger})
	wait.For(t, "it is said why there is no connection", func() bool { return strings.Contains(bad.State().LastError, "certificate") })
	if bad.Connected() {
		t.Error("it is connected")
	}
}

// bare is a NATS server without streams, reached at a URL.
func bare(t *testing.T, url func(*server.Server) string, configure func(*server.Options)) string {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true}
	configure(opts)
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(wait.Patience) {
		t.Fatal("the server is not ready")
	}
	return url(s)
}

func overTLS(s *server.Server) string { return strings.Replace(s.ClientURL(), "nats://", "tls://", 1) }

// TestWaysThroughProxies: TLS before the broker's greeting, and WebSocket with and
// without TLS.
func TestWaysThroughProxies(t *testing.T) {
	t.Parallel()
	cert, ca := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	websocket := func(s *server.Server) string { return s.WebsocketURL() }
	for name, c := range map[string]struct {
		url       func(*server.Server) string
		configure func(*server.Options)
		opts      broker.Options
	}{
		"TLS first": {overTLS, func(o *server.Options) { o.TLS, o.TLSConfig, o.TLSHandshakeFirst = true, config, true }, broker.Options{CAFile: ca, TLSFirst: true}},
		"ws":        {websocket, func(o *server.Options) { o.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: -1, NoTLS: true} }, broker.Options{}},
		"wss": {websocket, func(o *server.Options) {
			o.Websocket = server.WebsocketOpts{Host: "127.0.0.1", Port: -1, TLSConfig: config}
		}, broker.Options{CAFile: ca}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.opts.Servers = []string{bare(t, c.url, c.configure)}
			a := connect(t, c.opts)
			receive(t, "the connect", a.connects)
			if err := a.Send(protocol.PresenceSubject(id), []byte("{}")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCertificatesAreReadAgain: an authority that was put in the place of the old one
// counts from the next connect on, and so does a certificate of the host's own.
func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	cert, _ := newCertificate(t)
	own, ownText := newCertificate(t)
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(ownText)
	url := bare(t, overTLS, func(o *server.Options) {
		o.TLS, o.TLSVerify = true, true
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trust, MinVersion: tls.VersionTLS12}
	})
	dir := t.TempDir()
	opts := broker.Options{Servers: []string{url}, CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	put := func(authority, pair tls.Certificate) {
		private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{
			opts.CAFile:   {Type: "CERTIFICATE", Bytes: authority.Certificate[0]},
			opts.CertFile: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
			opts.KeyFile:  {Type: "PRIVATE KEY", Bytes: private},
		} {
			if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	stranger, _ := newCertificate(t)
	put(stranger, own)
	a := connect(t, opts)
	wait.For(t, "the broker is not believed", func() bool { return strings.Contains(a.State().LastError, "unknown authority") })
	put(cert, stranger)
	wait.For(t, "the host is not believed", func() bool { return strings.Contains(a.State().LastError, "tls: ") })
	put(cert, own)
	receive(t, "the connect", a.connects)
}

// TestOldCiphersAreNotSpoken: a broker that can do no better gets no agent.
func TestOldCiphersAreNotSpoken(t *testing.T) {
	t.Parallel()
	cert, ca := certificate(t)
	for suite, good := range map[uint16]bool{
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       true,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: false,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:          false,
	} {
		url := bare(t, overTLS, func(o *server.Options) {
			o.TLS = true
			o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}
		})
		a := connect(t, broker.Options{Servers: []string{url}, CAFile: ca})
		if good {
			receive(t, "the connect", a.connects)
			continue
		}
		wait.For(t, "it is said why there is no connection", func() bool { return strings.Contains(a.State().LastError, "handshake failure") })
	}
}
