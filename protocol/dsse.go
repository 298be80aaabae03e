package protocol

import (
	"crypto/ed25519"
	"encoding/base64"
	"strconv"
)

// Envelope is a signed statement: DSSE 1.0
// (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/envelope.md), one
// Ed25519 signature. The types are our own because the reference library brings an
// SSH implementation into every program that links it; a test holds the two against
// each other.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64, standard or for URLs
	Signatures  []Signature `json:"signatures"`
}

// Signature is one signature of an envelope.
type Signature struct {
	KeyID string `json:"keyid"` // a hint only: it is not signed
	Sig   string `json:"sig"`   // base64
}

// Content is the payload decoded, unverified. Both alphabets of base64 are allowed.
func (e Envelope) Content() ([]byte, error) {
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		payload, err = base64.URLEncoding.DecodeString(e.Payload)
	}
	return payload, err
}

// Sign makes an envelope of any payload; without a private key it has no signature.
func Sign(private ed25519.PrivateKey, payloadType string, payload []byte) Envelope {
	e := Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload)}
	if private != nil {
		sig := ed25519.Sign(private, SignedBytes(payloadType, payload))
		e.Signatures = []Signature{{KeyID: KeyOf(private).ID(), Sig: base64.StdEncoding.EncodeToString(sig)}}
	}
	return e
}

// SignedBy reports whether a signature of the envelope is k's and good for its decoded
// payload, and whether one is at least named after k.
func (e Envelope) SignedBy(k Key, payload []byte) (good, named bool) {
	id := k.ID()
	for _, s := range e.Signatures {
		if s.KeyID != id {
			continue
		}
		named = true
		sig, err := base64.StdEncoding.DecodeString(s.Sig)
		if err == nil && k.verifies(SignedBytes(e.PayloadType, payload), sig) {
			return true, true
		}
	}
	return false, named
}

// SignedBytes are the bytes that a signature of an envelope is over: DSSE's
// pre-authentication encoding, in which the lengths keep type and payload apart
// (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md).
func SignedBytes(payloadType string, payload []byte) []byte {
	head := "DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(head), payload...)
}
