package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPairThatCannotBeUsedLeavesTheOneBefore(t *testing.T) {
	certFile, keyFile := filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	if _, err := Load(certFile, keyFile); err == nil {
		t.Error("files that are not there were read")
	}
	write(t, certFile, keyFile, 1)
	p, err := Load(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var reported []error
	p.Report = func(err error) { reported = append(reported, err) }
	serial := func() int64 {
		leaf, err := x509.ParseCertificate(p.get().Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	// The certificate comes before its key: in between they do not fit.
	oldKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, keyFile, 2)
	newKey, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		key  []byte
		want int64
	}{{oldKey, 1}, {newKey, 2}} {
		if err := os.WriteFile(keyFile, step.key, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := serial(); got != step.want {
			t.Errorf("the certificate is %d, want %d", got, step.want)
		}
	}
	if len(reported) != 1 {
		t.Errorf("reported: %v", reported)
	}
}
