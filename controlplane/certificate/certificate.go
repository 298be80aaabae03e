// Package certificate serves TLS with a certificate that is changed without a restart.
// It reads two files and writes none.
package certificate

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
)

// Pair is a certificate and its key. It is safe for concurrent use.
type Pair struct {
	// Report is told of files that were changed and cannot be used; nil: nobody.
	Report func(error)

	certFile, keyFile string

	mu      sync.Mutex
	stamp   string
	current *tls.Certificate
}

// Load reads both files, PEM.
func Load(certFile, keyFile string) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile}
	p.stamp = p.stampNow()
	return p, p.load()
}

// ServerConfig is TLS with what FIPS 140-3 allows too: version 1.2 with ephemeral keys
// and AES-GCM, or 1.3, whose suites Go chooses.
func (p *Pair) ServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.get(), nil },
	}
}

// get is the certificate, read again if it was changed.
func (p *Pair) get() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stamp := p.stampNow(); stamp != p.stamp {
		p.stamp = stamp
		if err := p.load(); err != nil && p.Report != nil {
			p.Report(err)
		}
	}
	return p.current
}

func (p *Pair) load() error {
	read, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", p.certFile, p.keyFile, err)
	}
	p.current = &read
	return nil
}

func (p *Pair) stampNow() (stamp string) {
	for _, name := range []string{p.certFile, p.keyFile} {
		if info, err := os.Stat(name); err == nil {
			stamp += fmt.Sprint(info.ModTime().UnixNano(), info.Size(), ";")
		}
	}
	return stamp
}
