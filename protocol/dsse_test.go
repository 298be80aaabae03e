package protocol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// reference is a key as the reference library wants it.
type reference struct{ key ed25519.PrivateKey }

func (r reference) KeyID() (string, error) { return KeyOf(r.key).ID(), nil }

func (r reference) Public() crypto.PublicKey { return r.key.Public() }

func (r reference) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(r.key, data), nil
}

func (r reference) Verify(_ context.Context, data, sig []byte) error {
	return ed25519.VerifyWithOptions(r.key.Public().(ed25519.PublicKey), data, sig, &ed25519.Options{})
}

// What we sign the reference library verifies, and the other way round.
func TestEnvelopesAreThoseOfTheReferenceLibrary(t *testing.T) {
	key := reference{signer(1)}
	raw, err := json.Marshal(seal(t, key.key, sampleTask()))
	if err != nil {
		t.Fatal(err)
	}
	var ours dsse.Envelope
	if err := json.Unmarshal(raw, &ours); err != nil {
		t.Fatal(err)
	}
	judge, err := dsse.NewEnvelopeVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := judge.Verify(t.Context(), &ours); err != nil {
		t.Errorf("the library refuses ours: %v", err)
	}

	payload, err := json.Marshal(sampleTask())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := signer.SignPayload(t.Context(), TaskPayload, payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err = json.Marshal(theirs)
	if err != nil {
		t.Fatal(err)
	}
	var e Envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	if _, err := ring(key.key).Open(e, time.Now()); err != nil {
		t.Errorf("we refuse the library's: %v", err)
	}
}

func FuzzSignedBytes(f *testing.F) {
	f.Add("", []byte{})
	f.Add(TaskPayload, []byte(`{"a":1}`))
	f.Add("4 x ", []byte("DSSEv1 2 xx"))
	f.Fuzz(func(t *testing.T, payloadType string, payload []byte) {
		if got, want := SignedBytes(payloadType, payload), dsse.PAE(payloadType, payload); !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
