// Package signing keeps the key the control plane signs its statements with.
//
// The key is made once, at the first start, and written before it is used: who
// dies before the write makes another one, which nobody has trusted yet.
package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"devserver-agent/protocol"
)

// Load reads the key in file, and makes one there if there is none. The public
// half goes to the file public, in the form that an agent's trust.keys takes.
func Load(file, public string) (ed25519.PrivateKey, error) {
	key, err := read(file)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = create(file)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if err := os.WriteFile(public, []byte(protocol.KeyOf(key).String()+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("signing key: write the public half: %w", err)
	}
	return key, nil
}

func read(file string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", file, info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := protocol.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	return key, nil
}

func create(file string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(file)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(folder, ".signing-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	err = errors.Join(pem.Encode(f, &pem.Block{Type: protocol.PrivateKeyPEM, Bytes: der}), f.Sync(), f.Close())
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	// A link, unlike a rename, never replaces a key that another start has made.
	if err := os.Link(f.Name(), file); err != nil {
		return nil, err
	}
	return key, nil
}
