// Package enrol gives a host the key with which its agent logs in to the broker. The
// key is made on the host and never leaves it: the fleet's keeper gets its public half
// (devserverctl fleet enrol --public-key) and gives back a statement that the broker
// believes.
//
// Two files, for root only: the key, written once and never again, and the
// credentials, which are statement and key together. Each is whole or not there, so
// whoever dies in between can begin again.
package enrol

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
)

// Why a statement is not taken.
var (
	ErrStatement = errors.New("is no statement of a NATS user (a JWT)")
	ErrOtherKey  = errors.New("is of another key than this host's")
	ErrOtherHost = errors.New("is for another server")
)

// Key returns the public half of the key in file, and makes the key if there is none.
func Key(file string) (public string, err error) {
	seed, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if seed, err = create(file); errors.Is(err, fs.ErrExist) {
			seed, err = os.ReadFile(file) // another one was faster
		}
	}
	if err != nil {
		return "", fmt.Errorf("this host's key: %w", err)
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return "", fmt.Errorf("this host's key: %s holds none; move it away to have another made", file)
	}
	return public, nil
}

func create(file string) ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	return seed, put(file, append(seed, '\n'), os.Link)
}

// Credentials writes the file that the agent's nats.credentials_file names, of the
// statement that the fleet gave for the key in keyFile. server is the host's id.
func Credentials(file, keyFile, server string, statement []byte) error {
	public, err := Key(keyFile)
	if err != nil {
		return err
	}
	token := strings.TrimSpace(string(statement))
	name, subject, err := claims(token)
	switch {
	case err != nil:
		return err
	case subject != public:
		return fmt.Errorf("the statement %w: %s, not %s", ErrOtherKey, subject, public)
	case name != server:
		return fmt.Errorf("the statement %w: %.80q, and this one is %q", ErrOtherHost, name, server)
	}
	seed, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n",
		token, strings.TrimSpace(string(seed)))
	return put(file, []byte(text), os.Rename)
}

// claims reads whom a statement is about. Whether it is true the broker decides.
func claims(token string) (name, subject string, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > 64<<10 {
		return "", "", fmt.Errorf("what was given %w", ErrStatement)
	}
	var c struct{ Name, Sub string }
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || !nkeys.IsValidPublicUserKey(c.Sub) {
		return "", "", fmt.Errorf("what was given %w", ErrStatement)
	}
	return c.Name, c.Sub, nil
}

// put writes a file for root only and then gives it its name.
func put(file string, text []byte, name func(from, to string) error) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".enrol-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return name(temp.Name(), file)
}
