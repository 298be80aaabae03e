package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// How long certificates are valid. Renew makes those of brokers anew, Enrol those of
// agents; the authority is what hosts have to be given again.
const (
	authorityYears = 20
	memberYears    = 5
	clockSkew      = time.Hour // a certificate is valid before it was made, by the clock of others
)

// foundCA makes the authority.
func (f *Fleet) foundCA() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "DevServer fleet"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	return f.sign(c, c, key, key, authorityYears, f.CA(), f.Path("keys", "ca.key"))
}

// certify makes a certificate for one host, good for both ends of a connection:
// brokers of a cluster are clients of each other.
func (f *Fleet) certify(dir, name, host string) error {
	parent, parentKey, err := f.ca()
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	if err := f.sign(c, parent, key, parentKey, memberYears, filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")); err != nil {
		return err
	}
	text, err := os.ReadFile(f.CA())
	if err == nil {
		err = write(filepath.Join(dir, caFile), text)
	}
	return err
}

// Renew makes the certificates of the named brokers and leaf nodes anew, or those of all.
// The former ones stay good until they end.
func (f *Fleet) Renew(names ...string) ([]Broker, error) {
	all := slices.Concat(f.register.Brokers, f.register.Leaves)
	for _, name := range names {
		if !slices.ContainsFunc(all, func(b Broker) bool { return b.Name == name }) {
			return nil, fmt.Errorf("%.80q %w", name, ErrNoBroker)
		}
	}
	if len(names) > 0 {
		all = slices.DeleteFunc(all, func(b Broker) bool { return !slices.Contains(names, b.Name) })
	}
	for _, b := range all {
		if err := f.certifyBroker(b); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (f *Fleet) certifyBroker(b Broker) error {
	return f.certify(f.Path("brokers", b.Name), "server", b.Host)
}

func (f *Fleet) ca() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(f.CA())
	if err != nil {
		return nil, nil, err
	}
	keyText, err := os.ReadFile(f.Path("keys", "ca.key"))
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(text)
	keyBlock, _ := pem.Decode(keyText)
	if block == nil || keyBlock == nil {
		return nil, nil, errors.New("the authority's certificate or key is damaged")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("the authority's key is of another kind")
	}
	return cert, private, nil
}

// sign signs a certificate and writes it and its key.
func (f *Fleet) sign(c, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey, years int, certFile, keyFile string) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = serial, time.Now().Add(-clockSkew), time.Now().AddDate(years, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		write(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}
