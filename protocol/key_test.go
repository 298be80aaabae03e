package protocol

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestParseKeyReadsWhatStringWrote(t *testing.T) {
	want := KeyOf(signer(1))
	for name, text := range map[string]string{
		"as it is":             want.String(),
		"as a file ends":       want.String() + "\n",
		"with spaces about it": "  " + want.String() + " ",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseKey(text)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != want.String() || got.ID() != want.ID() {
				t.Errorf("got %s (%s)", got, got.ID())
			}
		})
	}
}

// The names of keys are part of the contract: envelopes carry them.
func TestKeyIsNamedByItsDigest(t *testing.T) {
	key := KeyOf(signer(1))
	if got, want := key.String(), "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="; got != want {
		t.Errorf("key is %s, want %s", got, want)
	}
	if got, want := key.ID(), "34750f98bd59fcfc"; got != want {
		t.Errorf("id is %s, want %s", got, want)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	encoded := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, text := range map[string]string{
		"nothing":              "",
		"no algorithm":         encoded(32),
		"another algorithm":    "rsa:" + encoded(32),
		"no key":               "ed25519:",
		"a key too short":      "ed25519:" + encoded(31),
		"a private key":        "ed25519:" + encoded(64),
		"what is not base64":   "ed25519:!" + encoded(32)[1:],
		"the other base64":     "ed25519:" + strings.Repeat("_", 43) + "=",
		"two keys on one line": "ed25519:" + encoded(32) + " ed25519:" + encoded(32),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseKey(text)
			if err == nil {
				t.Fatalf("got %s", got)
			}
			if len(text) > 40 && strings.Contains(err.Error(), text[8:40]) {
				t.Errorf("the error shows it: %v", err)
			}
		})
	}
}
