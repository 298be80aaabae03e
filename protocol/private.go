package protocol

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// PrivateKeyPEM is the type of the PEM block that ParsePrivateKey reads.
const PrivateKeyPEM = "PRIVATE KEY"

// ParsePrivateKey reads an Ed25519 key in PKCS #8 and PEM, as openssl genpkey -algorithm
// ed25519 writes it. An error says what the text is not, and nothing of it.
func ParsePrivateKey(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != PrivateKeyPEM {
		return nil, fmt.Errorf("holds no PEM block %q", PrivateKeyPEM)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("holds no private key: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("holds a %T, an Ed25519 key is needed", parsed)
	}
	return key, nil
}
