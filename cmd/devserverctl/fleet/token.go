package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

// MaxTokenLife is how long a token may be good at most.
const MaxTokenLife = 30 * 24 * time.Hour

// EnrolmentKey is the file that devserver-controlplane --enrolment-key takes.
func (f *Fleet) EnrolmentKey() string { return f.Path(enrolmentFile) }

// writeEnrolmentKey writes the key and whose it is.
func (f *Fleet) writeEnrolmentKey(a *authority) error {
	seed, err := a.keys[enrolSigner].Seed()
	if err != nil {
		return err
	}
	return write(f.EnrolmentKey(), fmt.Appendf(nil, "%s\n%s\n", seed, a.public(agentsAccount)))
}

// Token makes a one-time token with which the host of a server enrols itself at the
// control plane. Nothing of it is kept here.
func (f *Fleet) Token(server string, life time.Duration) (string, error) {
	if !protocol.ValidID(server) {
		return "", fmt.Errorf("%.80q %w", server, ErrServerID)
	}
	if life <= 0 || life > MaxTokenLife {
		return "", fmt.Errorf("a token is good for up to %s, not %s", MaxTokenLife, life)
	}
	if f.register.Mutual {
		return "", errors.New("the brokers of this fleet ask hosts for certificates, which no token brings; use fleet enrol")
	}
	a, err := f.authority()
	if err != nil {
		return "", err
	}
	c := jwt.NewGenericClaims(a.public(enrolSigner))
	c.Name, c.Expires = server, time.Now().Add(life).Unix()
	c.Data[protocol.EnrolmentClaim], c.Data["nonce"] = protocol.EnrolmentToken, rand.Text()
	return c.Encode(a.keys[enrolSigner])
}

// Learn takes the users that hosts got for tokens into the register, where Revoke finds
// them. urls are the brokers; none: those of the fleet.
func (f *Fleet) Learn(ctx context.Context, urls ...string) error {
	if len(urls) == 0 {
		for _, b := range f.register.Brokers {
			urls = append(urls, b.URL())
		}
	}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.Name("devserverctl"), nats.UserCredentials(f.ControlPlane()), nats.RootCAs(f.CA()), f.certificate())
	if err != nil {
		return fmt.Errorf("connect to the brokers: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	bucket, err := js.KeyValue(ctx, protocol.EnrolmentsBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil // no control plane has enrolled anybody
	}
	if err != nil {
		return fmt.Errorf("read who enrolled with a token: %w", err)
	}
	all, err := bucket.ListKeys(ctx)
	if err != nil {
		return fmt.Errorf("read who enrolled with a token: %w", err)
	}
	defer func() { _ = all.Stop() }()
	for key := range all.Keys() {
		entry, err := bucket.Get(ctx, key)
		var e protocol.Enrolment
		if err == nil {
			err = json.Unmarshal(entry.Value(), &e)
		}
		if err != nil {
			return fmt.Errorf("read who enrolled with a token: %s: %w", key, err)
		}
		known := f.register.Agents[e.ServerID]
		if !slices.Contains(known, e.PublicKey) && !slices.Contains(f.register.Revoked, e.PublicKey) {
			f.register.Agents[e.ServerID] = append(known, e.PublicKey)
		}
	}
	return f.save()
}
