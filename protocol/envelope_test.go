package protocol

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ring(keys ...ed25519.PrivateKey) Keyring {
	var r Keyring
	for _, k := range keys {
		r.Keys = append(r.Keys, Trusted{Key: KeyOf(k)})
	}
	return r
}

func TestOpenReadsWhatSealSigned(t *testing.T) {
	key := signer(1)
	task, cancel, resend := sampleTask(), sampleCancel(), sampleResend()
	for name, c := range map[string]struct {
		statement any
		want      Statement
	}{
		"a task":   {task, Statement{Task: &task}},
		"a cancel": {cancel, Statement{Cancel: &cancel}},
		"a resend": {resend, Statement{Resend: &resend}},
	} {
		t.Run(name, func(t *testing.T) {
			e := seal(t, key, c.statement)
			got, err := ring(signer(2), key).Open(e, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			c.want.Digest, c.want.KeyID = Digest(e), KeyOf(key).ID()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if task, server := got.IDs(); task != "task-1" || server != "a3-pod" {
				t.Errorf("is about task %s of server %s", task, server)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	key, other := signer(1), signer(2)
	sign := func(payloadType, payload string) Envelope { return sealed(t, key, payloadType, payload) }
	good := seal(t, key, sampleCancel())
	signature := good.Signatures[0]
	for _, c := range []struct {
		name     string
		envelope Envelope
		ring     Keyring
		want     error
	}{
		{"an unsigned statement", seal(t, nil, sampleCancel()), ring(key), ErrUnsigned},
		{"everything, when it trusts nobody", good, Keyring{}, ErrUnknownKey},
		{"a key that is not trusted", seal(t, other, sampleCancel()), ring(key), ErrUnknownKey},
		{"a key that is not trusted beside one that is, where unsigned may pass", seal(t, other, sampleCancel()), Keyring{Keys: ring(key).Keys, AllowUnsigned: true}, ErrUnknownKey},
		{"another's signature under a trusted name", with(good, func(e *Envelope) { e.Signatures[0].Sig = seal(t, other, sampleCancel()).Signatures[0].Sig }), ring(key), ErrSignature},
		{"a signature of another payload", with(good, func(e *Envelope) { e.Payload = seal(t, key, sampleResend()).Payload }), ring(key), ErrSignature},
		{"a signature of another payload type", with(good, func(e *Envelope) { e.PayloadType = TaskPayload }), ring(key), ErrSignature},
		{"a signature that is not base64", with(good, func(e *Envelope) { e.Signatures[0].Sig = "?" }), ring(key), ErrSignature},
		{"a signature cut short", with(good, func(e *Envelope) { e.Signatures[0].Sig = "AAAA" }), ring(key), ErrSignature},
		{"a bad signature where unsigned may pass", with(good, func(e *Envelope) { e.Signatures[0].Sig = "AAAA" }), Keyring{Keys: ring(key).Keys, AllowUnsigned: true}, ErrSignature},
		{"a signature under the name of a key that is none", with(good, func(e *Envelope) { e.Signatures[0].KeyID = Key{}.ID() }), Keyring{Keys: []Trusted{{}}}, ErrSignature},
		{"another version, although signed", sign("application/vnd.devserver.task.v2+json", "{}"), ring(key), ErrPayloadType},
		{"a payload type that is none", sign("", "{}"), ring(key), ErrPayloadType},
		{"a payload that is not base64", with(good, func(e *Envelope) { e.Payload = "?" }), ring(key), ErrUnparsable},
		{"a payload that is not JSON", sign(CancelPayload, "rm -rf"), ring(key), ErrUnparsable},
		{"a payload with something after it", sign(CancelPayload, `{"task_id":"1","server_id":"1"} {}`), ring(key), ErrUnparsable},
		{"a payload of another shape", sign(TaskPayload, `{"task_id":7}`), ring(key), ErrUnparsable},
		{"a payload that says nothing", sign(TaskPayload, "null"), ring(key), ErrUnparsable},
		{"a task id that is a path", sign(CancelPayload, `{"task_id":"../x","server_id":"1"}`), ring(key), ErrUnparsable},
		{"a task id that is a wildcard", sign(CancelPayload, `{"task_id":">","server_id":"1"}`), ring(key), ErrUnparsable},
		{"a server id that is none", sign(ResendPayload, `{"task_id":"1","server_id":""}`), ring(key), ErrUnparsable},
		{"a payload too large", Envelope{PayloadType: TaskPayload, Payload: strings.Repeat("A", MaxEnvelope)}, ring(key), ErrTooLarge},
		{"more signatures than fit", with(good, func(e *Envelope) {
			for range 100 {
				e.Signatures = append(e.Signatures, signature)
			}
		}), ring(key), ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.ring.Open(c.envelope, time.Now())
			if !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			if err != nil && (!printable(err.Error()) || len(err.Error()) > 500) {
				t.Errorf("not a sentence for an operator: %.600q", err)
			}
			if diff := cmp.Diff(Statement{}, got); diff != "" {
				t.Errorf("says something all the same:\n%s", diff)
			}
		})
	}
}

func TestOpenAccepts(t *testing.T) {
	key, other := signer(1), signer(2)
	good := seal(t, key, sampleCancel())
	for _, c := range []struct {
		name     string
		envelope Envelope
		ring     Keyring
		keyID    string
	}{
		{"an unsigned statement where that is allowed", seal(t, nil, sampleCancel()), Keyring{AllowUnsigned: true}, ""},
		{"an unsigned statement where that is allowed and there are keys", seal(t, nil, sampleCancel()), Keyring{Keys: ring(key).Keys, AllowUnsigned: true}, ""},
		{"a stranger's signature where unsigned may pass and there is no key", seal(t, other, sampleCancel()), Keyring{AllowUnsigned: true}, ""},
		{"a signature that nobody can check where unsigned may pass and there is no key", with(good, func(e *Envelope) { e.Signatures[0].Sig = "AAAA" }), Keyring{AllowUnsigned: true}, ""},
		{"a known key where unsigned may pass", good, Keyring{Keys: ring(key).Keys, AllowUnsigned: true}, KeyOf(key).ID()},
		{"one good signature beside one of a stranger", with(good, func(e *Envelope) {
			e.Signatures = append(seal(t, other, sampleCancel()).Signatures, e.Signatures...)
		}), ring(key), KeyOf(key).ID()},
		{"one good signature beside a bad one", with(good, func(e *Envelope) {
			e.Signatures = append(with(good, func(e *Envelope) { e.Signatures[0].Sig = "" }).Signatures, e.Signatures...)
		}), ring(key), KeyOf(key).ID()},
		{"a payload in the other base64 that DSSE allows", with(good, func(e *Envelope) {
			raw, _ := e.Content()
			e.Payload = base64.URLEncoding.EncodeToString(raw)
		}), ring(key), KeyOf(key).ID()},
		// Whose statement it is, only the inbox knows.
		{"a statement for whatever server", good, ring(key), KeyOf(key).ID()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := c.ring.Open(c.envelope, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if s.Cancel == nil || s.KeyID != c.keyID || s.Digest != Digest(c.envelope) {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestSeal(t *testing.T) {
	t.Run("gives the same bytes for the same value", func(t *testing.T) {
		if diff := cmp.Diff(seal(t, signer(1), sampleTask()), seal(t, signer(1), sampleTask())); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("of kept bytes is that of their value", func(t *testing.T) {
		payload, err := json.Marshal(sampleTask())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(seal(t, signer(1), sampleTask()), sealed(t, signer(1), TaskPayload, string(payload))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("takes statements only", func(t *testing.T) {
		for _, value := range []any{nil, "task", Mailbox{}, new(Task)} {
			if e, err := Seal(signer(1), value); err == nil {
				t.Errorf("%T became %+v", value, e)
			}
		}
	})
	t.Run("refuses more than an envelope holds", func(t *testing.T) {
		task := sampleTask()
		task.Job.Description = strings.Repeat("x", MaxEnvelope)
		if _, err := Seal(signer(1), task); !errors.Is(err, ErrTooLarge) {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("fills an envelope to its edge and Open reads it", func(t *testing.T) {
		task := sampleTask()
		for {
			task.Job.Description += "seven x"
			e, err := Seal(signer(1), task)
			if errors.Is(err, ErrTooLarge) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if raw, _ := json.Marshal(e); len(raw) > MaxEnvelope {
				t.Fatalf("an envelope has %d bytes", len(raw))
			}
			if _, err := ring(signer(1)).Open(e, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDigest(t *testing.T) {
	e := seal(t, signer(1), sampleTask())
	if got := Digest(with(e, func(e *Envelope) { e.Signatures = nil })); got != Digest(e) || len(got) != 64 {
		t.Errorf("depends on the signature: %s and %s", got, Digest(e))
	}
	if Digest(seal(t, signer(1), sampleCancel())) == Digest(e) {
		t.Error("two statements have one digest")
	}
	if got := Digest(Envelope{Payload: "?"}); got != "" {
		t.Errorf("what cannot be read has the digest %s", got)
	}
}

func TestAMailboxHoldsAllThatAServerMayHaveOpen(t *testing.T) {
	if got := MaxOpenTasks * MaxEnvelope; got > MaxMailbox*3/4 {
		t.Errorf("%d bytes of tasks leave too little of %d for cancels and resends", got, MaxMailbox)
	}
}

// with is a changed copy of an envelope.
func with(e Envelope, change func(*Envelope)) Envelope {
	e.Signatures = append(e.Signatures[:0:0], e.Signatures...)
	change(&e)
	return e
}

func sealed(t testing.TB, key ed25519.PrivateKey, payloadType, payload string) Envelope {
	t.Helper()
	e, err := SealPayload(key, payloadType, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return e
}
