package enrol_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"devserver-agent/agent/enrol"
)

// statement is one that nobody signed: whether it is true is the broker's business.
func statement(name, subject string) []byte {
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Appendf(nil, "%s.%s.%s\n", encode([]byte(`{"typ":"JWT"}`)), encode(fmt.Appendf(nil, `{"name":%q,"sub":%q}`, name, subject)), encode([]byte("signature")))
}

func TestAKeyIsMadeOnceAndStaysHere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etc", "agent.seed")
	public, err := enrol.Key(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := enrol.Key(file)
	if err != nil || again != public || !nkeys.IsValidPublicUserKey(public) {
		t.Errorf("%s, then %s, %v", public, again, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.WriteFile(file, []byte("SUnothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := enrol.Key(file); err == nil || strings.Contains(err.Error(), "SUnothing") {
		t.Errorf("a damaged key: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	key, file := filepath.Join(dir, "agent.seed"), filepath.Join(dir, "agent.creds")
	public, err := enrol.Key(key)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := enrol.Key(filepath.Join(dir, "stranger.seed"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		statement []byte
		want      error
	}{
		"another key":  {statement("a2-1", stranger), enrol.ErrOtherKey},
		"another host": {statement("a2-2", public), enrol.ErrOtherHost},
		"an account":   {statement("a2-1", "A"+public[1:]), enrol.ErrStatement},
		"nothing":      {nil, enrol.ErrStatement},
		"no base64":    {[]byte("a.?.c"), enrol.ErrStatement},
		"no JSON":      {[]byte("a.YQ.c"), enrol.ErrStatement},
		"far too long": {append(statement("a2-1", public), strings.Repeat("x", 1<<20)...), enrol.ErrStatement},
	} {
		if err := enrol.Credentials(file, key, "a2-1", c.statement); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Error("credentials were written of what was refused")
	}
	for range 2 {
		if err := enrol.Credentials(file, key, "a2-1", statement("a2-1", public)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pair.PublicKey(); err != nil || got != public {
		t.Errorf("the key is %s, %v", got, err)
	}
	if token, err := nkeys.ParseDecoratedJWT(text); err != nil || token+"\n" != string(statement("a2-1", public)) {
		t.Errorf("the statement is %s, %v", token, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func FuzzCredentials(f *testing.F) {
	dir := f.TempDir()
	key := filepath.Join(dir, "agent.seed")
	public, err := enrol.Key(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(statement("a2-1", public))
	f.Add([]byte("a.b.c"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "agent.creds")
		err := enrol.Credentials(file, key, "a2-1", text)
		written, readErr := os.ReadFile(file)
		if (readErr == nil) != (err == nil) {
			t.Fatalf("%v, %v", err, readErr)
		}
		if err != nil {
			return
		}
		pair, err := nkeys.ParseDecoratedUserNKey(written)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pair.PublicKey(); err != nil || got != public {
			t.Errorf("the key is %s, %v", got, err)
		}
	})
}
