package protocol

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzOpen gives what a broker may give: bytes that should be an envelope. What
// opens was signed, and says what its payload says.
func FuzzOpen(f *testing.F) {
	addSamples(f, "envelope")
	f.Add([]byte(`{"payloadType":"application/vnd.devserver.cancel.v1+json","payload":"eyJ0YXNrX2lkIjoiMSIsInNlcnZlcl9pZCI6IjEifQ==","signatures":[{"keyid":"34750f98bd59fcfc","sig":""},{}]}`))
	f.Add([]byte(`{"payloadType":"","payload":"_-8=","signatures":null}`))
	key, stranger := signer(1), signer(2)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e Envelope
		if json.Unmarshal(raw, &e) != nil {
			return
		}
		for _, r := range []Keyring{ring(key), ring(stranger, key), {AllowUnsigned: true}} {
			s, err := r.Open(e, time.Now())
			if err != nil {
				checkRefusal(t, err)
				continue
			}
			checkStatement(t, e, s)
			if s.KeyID == "" && !r.AllowUnsigned {
				t.Fatal("opened without a key")
			}
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	for _, known := range []error{ErrUnsigned, ErrUnknownKey, ErrSignature, ErrPayloadType, ErrUnparsable, ErrTooLarge} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("a refusal that stands for no code: %v", err)
}

func checkStatement(t *testing.T, e Envelope, s Statement) {
	if task, server := s.IDs(); !ValidID(task) || !ValidID(server) {
		t.Fatalf("ids are %q and %q", task, server)
	}
	if s.Digest != Digest(e) || len(s.Digest) != 64 {
		t.Fatalf("digest is %q, of the envelope %q", s.Digest, Digest(e))
	}
	if n := count(s.Task != nil) + count(s.Cancel != nil) + count(s.Resend != nil); n != 1 {
		t.Fatalf("is %d statements", n)
	}
	if s.Task != nil {
		checkTask(t, *s.Task)
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkTask holds Check to what the rest of the project relies on.
func checkTask(t *testing.T, task Task) {
	if task.Check() != nil {
		return
	}
	if !ValidID(task.TaskID) || !ValidID(task.JobID) || !ValidID(task.ServerID) {
		t.Fatalf("fits with ids %q, %q, %q", task.TaskID, task.JobID, task.ServerID)
	}
	if validity := task.ExpiresAt - task.IssuedAt; validity <= 0 || validity > MaxValidity.Milliseconds() {
		t.Fatalf("fits with a validity of %d ms", validity)
	}
	for _, item := range task.Items {
		if len(item.Spec) > MaxSpecKeys {
			t.Fatalf("fits with %d parameters", len(item.Spec))
		}
		for _, described := range append(Catalogue(), ItemType{Type: item.Type}) {
			if err := described.CheckSpec(item.Spec); err != nil && !strings.HasPrefix(err.Error(), "spec.") {
				t.Fatalf("parameters are refused without naming one: %v", err)
			}
		}
	}
}

// FuzzSeal signs arbitrary bytes: the ring that has the key opens exactly what
// was sealed, any other refuses it.
func FuzzSeal(f *testing.F) {
	for name, message := range samples(f) {
		switch message.(type) {
		case Task, Cancel, Resend:
			payload, err := json.Marshal(message)
			if err != nil {
				f.Fatal(err)
			}
			kind, _, _ := strings.Cut(name, "-")
			f.Add("application/vnd.devserver."+kind+".v1+json", payload)
		}
	}
	key := signer(1)
	f.Fuzz(func(t *testing.T, payloadType string, payload []byte) {
		e, err := SealPayload(key, payloadType, payload)
		if err != nil {
			if !errors.Is(err, ErrTooLarge) || len(payload) < MaxEnvelope/2 && len(payloadType) < MaxEnvelope/4 {
				t.Fatal(err)
			}
			return
		}
		if Digest(e) != digest(payload) {
			t.Fatal("the envelope has another content")
		}
		if s, err := ring(key).Open(e, time.Now()); err == nil {
			checkStatement(t, e, s)
		} else if !errors.Is(err, ErrPayloadType) && !errors.Is(err, ErrUnparsable) {
			t.Fatalf("its own signature is refused: %v", err)
		}
		if _, err := ring(signer(2)).Open(e, time.Now()); !errors.Is(err, ErrUnknownKey) {
			t.Fatalf("a stranger's signature gives %v", err)
		}
		e.PayloadType += " "
		if _, err := ring(key).Open(e, time.Now()); !errors.Is(err, ErrSignature) && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("a changed payload type gives %v", err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(KeyOf(signer(1)).String())
	f.Add(" ed25519:AAAA\n")
	f.Add("rsa:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseKey(text)
		if err != nil {
			return
		}
		again, err := ParseKey(key.String())
		if err != nil || again.ID() != key.ID() || again.String() != key.String() {
			t.Fatalf("%s is read as %s (%v)", key, again, err)
		}
	})
}

func FuzzServerOf(f *testing.F) {
	for _, subject := range []string{
		MailboxSubject("s1"), PushSubject("s1"), FetchSubject("s1"), StatusSubject("s1"), OutputSubject("s1", "t1"),
		FactsSubject("s1"), PresenceSubject("s1"), NoticeSubject("s1"), AuditSubject("s1"), InboxPrefix("s1"), Root + ">", Root + "..", Root + "output.s1.*",
	} {
		f.Add(subject)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		server := ServerOf(subject)
		if server == "" {
			return
		}
		if !ValidID(server) || !strings.Contains(subject, "."+server) {
			t.Fatalf("%q is of %q", subject, server)
		}
		task := subject[strings.LastIndexByte(subject, '.')+1:]
		for _, known := range []string{
			MailboxSubject(server), PushSubject(server), FetchSubject(server), StatusSubject(server), OutputSubject(server, task),
			FactsSubject(server), PresenceSubject(server), NoticeSubject(server), AuditSubject(server),
		} {
			if subject == known {
				return
			}
		}
		t.Fatalf("%q is of %q and no subject of the contract", subject, server)
	})
}

func FuzzTask(f *testing.F)     { fuzzMessage(f, "task", checkTask) }
func FuzzCancel(f *testing.F)   { fuzzMessage[Cancel](f, "cancel", nil) }
func FuzzResend(f *testing.F)   { fuzzMessage[Resend](f, "resend", nil) }
func FuzzMailbox(f *testing.F)  { fuzzMessage[Mailbox](f, "mailbox", nil) }
func FuzzChunk(f *testing.F)    { fuzzMessage[Chunk](f, "chunk", nil) }
func FuzzFacts(f *testing.F)    { fuzzMessage[Facts](f, "facts", nil) }
func FuzzPresence(f *testing.F) { fuzzMessage[Presence](f, "presence", nil) }
func FuzzNotice(f *testing.F)   { fuzzMessage[Notice](f, "notice", nil) }
func FuzzAudit(f *testing.F)    { fuzzMessage[AuditLines](f, "audit", nil) }

func FuzzStatus(f *testing.F) {
	fuzzMessage(f, "status", func(t *testing.T, s Status) {
		if s.Envelope != nil {
			if _, err := ring(signer(1)).Open(*s.Envelope, time.Now()); err != nil {
				checkRefusal(t, err)
			}
		}
	})
}

// fuzzMessage holds a message to surviving its way: what was read is written so
// that it is read the same again.
func fuzzMessage[T any](f *testing.F, kind string, check func(*testing.T, T)) {
	addSamples(f, kind)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var message, again T
		if json.Unmarshal(raw, &message) != nil {
			return
		}
		written, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatalf("cannot be read again: %v", err)
		}
		if diff := cmp.Diff(message, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-read +read again):\n%s", diff)
		}
		if check != nil {
			check(t, message)
		}
	})
}

// addSamples seeds a target with the messages of a kind.
func addSamples(f *testing.F, kind string) {
	added := 0
	for name, message := range samples(f) {
		if first, _, _ := strings.Cut(name, "-"); first != kind {
			continue
		}
		raw, err := json.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		added++
	}
	if added == 0 {
		f.Fatalf("there is no sample of a %s", kind)
	}
}
