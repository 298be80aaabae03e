package protocol

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func trusted(t *testing.T, text string) Trusted {
	t.Helper()
	key, err := ParseTrusted(KeyOf(signer(1)).String() + " " + text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAKeyMayAskForWhatItIsTrustedWith(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	query := sampleTask()
	query.Items, query.IsReboot = []Item{{Type: "HDK_QUERY"}}, false
	both := query
	both.Items = append([]Item{{Type: "HDK_UPGRADE"}}, query.Items...)
	reboot := query
	reboot.IsReboot = true
	for _, c := range []struct {
		bounds    string
		statement any
		want      error
	}{
		{"", both, nil},
		{"", reboot, nil},
		{"", sampleCancel(), nil},
		{"only=HDK_QUERY", query, nil},
		{"only=HDK_QUERY", both, ErrKeyRole},
		{"only=HDK_QUERY+HDK_UPGRADE", both, nil},
		{"only=HDK_QUERY", reboot, ErrKeyRole},
		{"only=HDK_QUERY+reboot", reboot, nil},
		{"only=HDK_QUERY", sampleCancel(), ErrKeyRole},
		{"only=cancel", sampleCancel(), nil},
		{"only=cancel", query, ErrKeyRole},
		{"only=cancel", sampleResend(), nil},
		{"from=2026-11-28 until=2026-11-29", query, nil},
		{"from=2026-11-29", query, ErrKeyEnded},
		{"from=2026-11-28T12:04:00Z", query, nil}, // clocks differ
		{"from=2026-11-28T12:06:00Z", query, ErrKeyEnded},
		{"until=2026-11-28", query, ErrKeyEnded},
		{"until=2026-11-28T12:00:00Z", query, ErrKeyEnded},
		{"until=2026-11-28T12:00:01Z", query, nil},
	} {
		key := trusted(t, c.bounds)
		s, err := Keyring{Keys: []Trusted{key}}.Open(seal(t, signer(1), c.statement), now)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%q, a %T: %v, want %v", c.bounds, c.statement, err, c.want)
		}
		if c.want == nil && s.KeyID != key.ID() {
			t.Errorf("%q, a %T: signed by %q", c.bounds, c.statement, s.KeyID)
		}
	}
}

// TestAKeyThatEndedDoesNotHideOneThatCounts: an envelope may have several signatures,
// and a key may be listed twice with other bounds.
func TestAKeyThatEndedDoesNotHideOneThatCounts(t *testing.T) {
	r := Keyring{Keys: []Trusted{trusted(t, "until=2026-01-01"), trusted(t, "from=2026-06-01")}}
	if _, err := r.Open(seal(t, signer(1), sampleCancel()), time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Error(err)
	}
}

func TestParseTrustedRefuses(t *testing.T) {
	key := KeyOf(signer(1)).String()
	for text, want := range map[string]string{
		"":                        "does not begin",
		"only=HDK_QUERY " + key:   "does not begin",
		key + " only=":            "no item type",
		key + " only=HDK QUERY":   "is none of",
		key + " only=a/b":         "no item type",
		key + " from=tomorrow":    "no day",
		key + " until=2026-13-01": "no day",
		key + " role=admin":       "is none of",
		key + " from=2026-02-01 until=2026-02-01":  "before it begins",
		key + " until=2027-01-01 until=2030-01-01": "until= is given twice",
		key + " only=HDK_QUERY only=cancel":        "only= is given twice",
		key + " until=0001-01-01":                  "no day", // which is no bound
	} {
		if got, err := ParseTrusted(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// FuzzParseTrusted: what is read opens a statement or says why not, and is no other key.
func FuzzParseTrusted(f *testing.F) {
	key := KeyOf(signer(1)).String()
	for _, bounds := range []string{"", " only=HDK_QUERY+cancel", " from=2026-01-01 until=2027-01-01", " until=2026-01-01T00:00:00Z", " only=+"} {
		f.Add(key + bounds)
	}
	e := seal(f, signer(1), sampleCancel())
	f.Fuzz(func(t *testing.T, text string) {
		read, err := ParseTrusted(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.TrimSpace(text), read.String()) {
			t.Fatalf("%q is read as %s", text, read)
		}
		_, err = Keyring{Keys: []Trusted{read}}.Open(e, time.Now())
		switch {
		case errors.Is(err, ErrUnknownKey) && read.String() != key:
		case errors.Is(err, ErrKeyEnded) && !(read.From.IsZero() && read.Until.IsZero()):
		case errors.Is(err, ErrKeyRole) && len(read.Only) > 0:
		case err == nil && read.String() == key:
		default:
			t.Fatalf("%q opens %v", text, err)
		}
	})
}
