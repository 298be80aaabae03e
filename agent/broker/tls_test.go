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

	"devserver-agent/agent/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
)

// certificate makes one for this host and a file of who vouches for it.
func certificate(t *testing.T) (tls.Certificate, string) {
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
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
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
	until(t, "it is said why there is no connection", func() bool { return strings.Contains(bad.State().LastError, "certificate") })
	if bad.Connected() {
		t.Error("it is connected")
	}
}
