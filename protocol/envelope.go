package protocol

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Payload types of the statements of a mailbox. Another major version is
// another type.
const (
	TaskPayload   = "application/vnd.devserver.task.v1+json"
	CancelPayload = "application/vnd.devserver.cancel.v1+json"
	ResendPayload = "application/vnd.devserver.resend.v1+json"
)

// Why an envelope was not opened. Each stands for one Code of a notice.
var (
	ErrUnsigned    = errors.New("statement is not signed")
	ErrUnknownKey  = errors.New("statement is signed with a key that is not trusted here")
	ErrSignature   = errors.New("signature does not match the statement")
	ErrPayloadType = errors.New("statement is of a type or version this agent does not know")
	ErrUnparsable  = errors.New("statement cannot be read")
	ErrTooLarge    = errors.New("statement is too large")
	ErrKeyEnded    = errors.New("statement is signed with a key that does not count now")
	ErrKeyRole     = errors.New("statement asks for more than its key may ask for")
)

// Statement is what an envelope said, verified: exactly one of Task, Cancel and
// Resend is set.
type Statement struct {
	Task   *Task
	Cancel *Cancel
	Resend *Resend
	// Digest is the SHA-256 of the payload in hex: the identity of its content.
	Digest string
	KeyID  string // "" when unsigned
}

// IDs are the task and server the statement is about.
func (s Statement) IDs() (task, server string) {
	switch {
	case s.Task != nil:
		return s.Task.TaskID, s.Task.ServerID
	case s.Cancel != nil:
		return s.Cancel.TaskID, s.Cancel.ServerID
	case s.Resend != nil:
		return s.Resend.TaskID, s.Resend.ServerID
	}
	return "", ""
}

// Seal signs a statement (a Task, Cancel or Resend). The bytes of the same
// value are always the same. Without a private key the envelope is unsigned,
// for development. ErrTooLarge tells that it would be more than MaxEnvelope.
func Seal(private ed25519.PrivateKey, statement any) (Envelope, error) {
	payloadType, err := payloadTypeOf(statement)
	if err != nil {
		return Envelope{}, err
	}
	payload, err := json.Marshal(statement)
	if err != nil {
		return Envelope{}, fmt.Errorf("encode %s: %w", payloadType, err)
	}
	return SealPayload(private, payloadType, payload)
}

// SealPayload signs the bytes of a statement as they are, for whoever keeps
// them instead of the value they were made from.
func SealPayload(private ed25519.PrivateKey, payloadType string, payload []byte) (Envelope, error) {
	e := Sign(private, payloadType, payload)
	if n := envelopeSize(e); n > MaxEnvelope {
		return Envelope{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, n, MaxEnvelope)
	}
	return e, nil
}

// Keyring is what an agent trusts. The zero value trusts nobody.
// AllowUnsigned lets envelopes without any signature pass. If there are keys, one
// that has a signature must still be signed with one of them. If there are none, no
// signature can be checked, and an envelope counts as unsigned whatever it carries.
type Keyring struct {
	Keys          []Trusted
	AllowUnsigned bool // for development only
}

// Open verifies an envelope and reads its statement; now is the time by which keys
// begin and end. Nothing of the payload is parsed before its signature was found good.
// The errors are this package's.
func (r Keyring) Open(e Envelope, now time.Time) (Statement, error) {
	if n := envelopeSize(e); n > MaxEnvelope {
		return Statement{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, n, MaxEnvelope)
	}
	payload, err := e.Content()
	if err != nil {
		return Statement{}, fmt.Errorf("%w: payload is not base64", ErrUnparsable)
	}
	key, err := r.verify(e, payload, now)
	if err != nil {
		return Statement{}, err
	}
	s, err := parseStatement(e.PayloadType, payload)
	if err != nil {
		return Statement{}, err
	}
	s.Digest = digest(payload)
	if key == nil { // unsigned
		return s, nil
	}
	s.KeyID = key.ID()
	return s, key.permits(s)
}

// verify finds the key that signed; nil if the envelope counts as unsigned and may.
func (r Keyring) verify(e Envelope, payload []byte, now time.Time) (key *Trusted, err error) {
	switch unsigned := len(e.Signatures) == 0; {
	case r.AllowUnsigned && (unsigned || len(r.Keys) == 0):
		return nil, nil
	case unsigned:
		return nil, ErrUnsigned
	}
	err = ErrUnknownKey
	for i, k := range r.Keys {
		good, named := e.SignedBy(k.Key, payload)
		ended := k.ended(now)
		switch {
		case good && ended == nil:
			return &r.Keys[i], nil
		case good:
			err = ended
		case named && errors.Is(err, ErrUnknownKey):
			err = ErrSignature
		}
	}
	return nil, err
}

func parseStatement(payloadType string, payload []byte) (s Statement, err error) {
	switch payloadType {
	case TaskPayload:
		s.Task = new(Task)
		err = json.Unmarshal(payload, s.Task)
	case CancelPayload:
		s.Cancel = new(Cancel)
		err = json.Unmarshal(payload, s.Cancel)
	case ResendPayload:
		s.Resend = new(Resend)
		err = json.Unmarshal(payload, s.Resend)
	default:
		return s, fmt.Errorf("%w: %.80q", ErrPayloadType, payloadType)
	}
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrUnparsable, err)
	}
	task, server := s.IDs()
	if !ValidID(task) || !ValidID(server) {
		return s, fmt.Errorf("%w: task_id %.80q or server_id %.80q is not an id", ErrUnparsable, task, server)
	}
	return s, nil
}

// Digest is the identity of an envelope's content, or "" if it has none.
func Digest(e Envelope) string {
	payload, err := e.Content()
	if err != nil {
		return ""
	}
	return digest(payload)
}

func digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:])
}

// envelopeSize is the size of e as JSON, or a little more.
func envelopeSize(e Envelope) int {
	n := len(e.Payload) + len(e.PayloadType) + 64
	for _, s := range e.Signatures {
		n += len(s.KeyID) + len(s.Sig) + 32
	}
	return n
}

func payloadTypeOf(statement any) (string, error) {
	switch statement.(type) {
	case Task:
		return TaskPayload, nil
	case Cancel:
		return CancelPayload, nil
	case Resend:
		return ResendPayload, nil
	}
	return "", fmt.Errorf("a %T is not a statement", statement)
}
