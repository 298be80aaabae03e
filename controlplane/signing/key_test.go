package signing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/protocol"
)

func TestTheKeyIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	file, public := filepath.Join(dir, "new", "signing.key"), filepath.Join(dir, "signing.pub")
	first, err := Load(file, public)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(file, public)
	if err != nil || !first.Equal(again) {
		t.Errorf("the second start has another key: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file is %v %v", info, err)
	}
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := protocol.ParseKey(string(text)); err != nil || key.String() != protocol.KeyOf(first).String() {
		t.Errorf("public half is %s: %v", text, err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("folder of the key has %v %v", left, err)
	}
}

func TestAKeyThatCannotBeTrustedIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "signing.key")
	if _, err := Load(file, filepath.Join(dir, "signing.pub")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, filepath.Join(dir, "signing.pub")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by all: %v", err)
	}
	for _, text := range []string{"", "nothing", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file, filepath.Join(dir, "signing.pub")); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
}
