// Package enrolment gives hosts that bring a one-time token the broker's word for the key
// they made. What it can sign is bounded by the broker: hosts, and no other users.
//
// A token is used up by one write, before the statement is given: who dies after it, or
// whose answer is lost, asks again with the same token and key and gets the same.
package enrolment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"devserver-agent/protocol"
)

// Why somebody is not enrolled.
var (
	ErrToken = errors.New("the token is none of this fleet's, has expired, or is for another server")
	ErrUsed  = errors.New("the token was used before, with another key; ask the fleet's keeper for a new one")
	ErrKey   = errors.New("public_key is not that of a NATS user (U...)")
)

// Desk enrols hosts. It is safe for concurrent use.
type Desk struct {
	key     nkeys.KeyPair
	public  string
	account string // whose key it is
}

// Open reads the fleet's enrolment key. account is the public key of the agents'
// account, which stands in the same file.
func Open(file string) (*Desk, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("enrolment key: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("enrolment key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("enrolment key: %s can be read by others (mode %04o): run chmod 600 on it", file, info.Mode().Perm())
	}
	seed, account, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	d := &Desk{account: string(bytes.TrimSpace(account))}
	if d.key, err = nkeys.FromSeed(bytes.TrimSpace(seed)); err == nil {
		d.public, err = d.key.PublicKey()
	}
	if err != nil || !nkeys.IsValidPublicAccountKey(d.public) || !nkeys.IsValidPublicAccountKey(d.account) {
		return nil, fmt.Errorf("enrolment key: %s is not one that devserverctl fleet init made (enrolment.key)", file)
	}
	return d, nil
}

// Enrol takes a token for a key.
func (d *Desk) Enrol(ctx context.Context, js jetstream.JetStream, asked protocol.Enrolment) (protocol.Enrolled, error) {
	if !nkeys.IsValidPublicUserKey(asked.PublicKey) {
		return protocol.Enrolled{}, ErrKey
	}
	id, err := d.token(asked)
	if err != nil {
		return protocol.Enrolled{}, err
	}
	if err := use(ctx, js, id, asked); err != nil {
		return protocol.Enrolled{}, err
	}
	c := jwt.NewUserClaims(asked.PublicKey)
	c.Name, c.IssuerAccount = asked.ServerID, d.account
	c.SetScoped(true)
	statement, err := c.Encode(d.key)
	if err != nil {
		return protocol.Enrolled{}, fmt.Errorf("sign the statement of %s: %w", asked.ServerID, err)
	}
	return protocol.Enrolled{ServerID: asked.ServerID, Statement: statement}, nil
}

// token finds a token good, and tells its id.
func (d *Desk) token(asked protocol.Enrolment) (id string, err error) {
	if len(asked.Token) > 8<<10 {
		return "", ErrToken
	}
	c, err := jwt.DecodeGeneric(asked.Token) // which verifies its signature
	switch {
	case err != nil, c.Issuer != d.public, c.Data[protocol.EnrolmentClaim] != protocol.EnrolmentToken,
		c.Expires == 0, time.Now().Unix() >= c.Expires, c.ID == "",
		c.Name != asked.ServerID, !protocol.ValidID(asked.ServerID):
		return "", ErrToken
	}
	return c.ID, nil
}

// use notes that a token was used for a key, unless it was used for another one.
func use(ctx context.Context, js jetstream.JetStream, id string, asked protocol.Enrolment) error {
	bucket, err := js.KeyValue(ctx, protocol.EnrolmentsBucket)
	if err != nil {
		return fmt.Errorf("note that the token was used: %w", err)
	}
	note := protocol.Enrolment{ServerID: asked.ServerID, PublicKey: asked.PublicKey, At: protocol.Millis(time.Now())}
	raw, err := json.Marshal(note)
	if err != nil {
		return err
	}
	_, err = bucket.Create(ctx, id, raw)
	if !errors.Is(err, jetstream.ErrKeyExists) {
		if err != nil {
			err = fmt.Errorf("note that the token was used: %w", err)
		}
		return err
	}
	entry, err := bucket.Get(ctx, id)
	if err == nil {
		err = json.Unmarshal(entry.Value(), &note)
	}
	if err != nil {
		return fmt.Errorf("look up whether the token was used: %w", err)
	}
	if note.PublicKey != asked.PublicKey {
		return ErrUsed
	}
	return nil
}
