package protocol

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// Key is a public key that statements may be signed with. The zero value
// verifies nothing.
type Key struct{ public ed25519.PublicKey }

const keyPrefix = "ed25519:"

// ParseKey reads the form that String writes: "ed25519:" and the key in base64.
// An error shows only the beginning of s, which may be a private key.
func ParseKey(s string) (Key, error) {
	raw, ok := strings.CutPrefix(strings.TrimSpace(s), keyPrefix)
	if !ok {
		return Key{}, fmt.Errorf("key %.12q does not begin with %q", s, keyPrefix)
	}
	public, err := base64.StdEncoding.Strict().DecodeString(raw)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("key %.12q is not %d bytes in base64", s, ed25519.PublicKeySize)
	}
	return Key{public}, nil
}

// KeyOf is the public half of private.
func KeyOf(private ed25519.PrivateKey) Key {
	return Key{private.Public().(ed25519.PublicKey)}
}

// String is the form that ParseKey reads.
func (k Key) String() string { return keyPrefix + base64.StdEncoding.EncodeToString(k.public) }

// ID names the key in an envelope: the first 16 hex digits of its SHA-256.
func (k Key) ID() string {
	sum := sha256.Sum256(k.public)
	return hex.EncodeToString(sum[:8])
}

func (k Key) verifies(message, signature []byte) bool {
	return len(k.public) == ed25519.PublicKeySize && ed25519.Verify(k.public, message, signature)
}
