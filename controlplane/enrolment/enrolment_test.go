package enrolment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
)

func pair(t testing.TB, kind nkeys.PrefixByte) (nkeys.KeyPair, string) {
	t.Helper()
	key, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key, public
}

// keyFile writes a key as devserverctl fleet init does.
func keyFile(t testing.TB, mode os.FileMode) (file string, key nkeys.KeyPair, account string) {
	t.Helper()
	key, _ = pair(t, nkeys.PrefixByteAccount)
	_, account = pair(t, nkeys.PrefixByteAccount)
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "enrolment.key")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s\n%s\n", seed, account), mode); err != nil {
		t.Fatal(err)
	}
	return file, key, account
}

func token(t testing.TB, key nkeys.KeyPair, change func(*jwt.GenericClaims)) string {
	t.Helper()
	_, subject := pair(t, nkeys.PrefixByteAccount)
	c := jwt.NewGenericClaims(subject)
	c.Name, c.Expires = "srv-1", time.Now().Add(time.Hour).Unix()
	c.Data[protocol.EnrolmentClaim] = protocol.EnrolmentToken
	if change != nil {
		change(c)
	}
	text, err := c.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestATokenIsGoodForOneKey(t *testing.T) {
	b := brokertest.Embedded(t)
	file, key, account := keyFile(t, 0o600)
	d, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	_, mine := pair(t, nkeys.PrefixByteUser)
	_, other := pair(t, nkeys.PrefixByteUser)
	good := token(t, key, nil)
	for range 2 { // the first answer may have been lost
		given, err := d.Enrol(t.Context(), b.JS, protocol.Enrolment{Token: good, ServerID: "srv-1", PublicKey: mine})
		if err != nil {
			t.Fatal(err)
		}
		c, err := jwt.DecodeUserClaims(given.Statement)
		if err != nil || c.Subject != mine || c.Name != "srv-1" || c.IssuerAccount != account || !c.HasEmptyPermissions() {
			t.Errorf("the statement says %+v, %v", c, err)
		}
	}
	stranger, _ := pair(t, nkeys.PrefixByteAccount)
	_, account2 := pair(t, nkeys.PrefixByteAccount)
	for name, c := range map[string]struct {
		asked protocol.Enrolment
		want  error
	}{
		"another key":                {protocol.Enrolment{Token: good, ServerID: "srv-1", PublicKey: other}, ErrUsed},
		"for another server":         {protocol.Enrolment{Token: token(t, key, nil), ServerID: "srv-2", PublicKey: other}, ErrToken},
		"of a stranger":              {protocol.Enrolment{Token: token(t, stranger, nil), ServerID: "srv-1", PublicKey: other}, ErrToken},
		"that has expired":           {protocol.Enrolment{Token: token(t, key, func(c *jwt.GenericClaims) { c.Expires = time.Now().Add(-time.Minute).Unix() }), ServerID: "srv-1", PublicKey: other}, ErrToken},
		"that never expires":         {protocol.Enrolment{Token: token(t, key, func(c *jwt.GenericClaims) { c.Expires = 0 }), ServerID: "srv-1", PublicKey: other}, ErrToken},
		"for something else":         {protocol.Enrolment{Token: token(t, key, func(c *jwt.GenericClaims) { delete(c.Data, protocol.EnrolmentClaim) }), ServerID: "srv-1", PublicKey: other}, ErrToken},
		"for no id":                  {protocol.Enrolment{Token: token(t, key, func(c *jwt.GenericClaims) { c.Name = ">" }), ServerID: ">", PublicKey: other}, ErrToken},
		"changed":                    {protocol.Enrolment{Token: good[:len(good)-4] + "AAAA", ServerID: "srv-1", PublicKey: mine}, ErrToken},
		"that is none":               {protocol.Enrolment{Token: "x", ServerID: "srv-1", PublicKey: mine}, ErrToken},
		"with no signature":          {protocol.Enrolment{Token: strings.Join(strings.Split(good, ".")[:2], ".") + ".", ServerID: "srv-1", PublicKey: mine}, ErrToken},
		"far too long":               {protocol.Enrolment{Token: strings.Repeat("x", 10<<10), ServerID: "srv-1", PublicKey: mine}, ErrToken},
		"with a key that is none":    {protocol.Enrolment{Token: good, ServerID: "srv-1", PublicKey: "U"}, ErrKey},
		"with the key of an account": {protocol.Enrolment{Token: good, ServerID: "srv-1", PublicKey: account2}, ErrKey},
	} {
		if given, err := d.Enrol(t.Context(), b.JS, c.asked); !errors.Is(err, c.want) {
			t.Errorf("a token %s: %+v, %v", name, given, err)
		}
	}
}

func TestAKeyThatIsNoneIsRefused(t *testing.T) {
	file, _, _ := keyFile(t, 0o644)
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key for everybody: %v", err)
	}
	file = filepath.Join(t.TempDir(), "key")
	for _, text := range []string{"", "SAnothing\nA", "x"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(file); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
