package protocol

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ClockSkew is how far apart clocks may be without anybody being refused for it.
const ClockSkew = 5 * time.Minute

// Words that Trusted.Only may list beside item types.
const (
	MayCancel = "cancel" // cancel tasks, whoever asked for them
	MayReboot = "reboot" // ask for is_reboot
)

// Trusted is a key, what it may ask for and when. The zero value is trusted with
// nothing: its key verifies nothing.
type Trusted struct {
	Key
	// Only is all that the key may ask for: item types and the words MayCancel and
	// MayReboot. Empty: everything. Resends, which change nothing, it always may.
	Only []string
	// From and Until bound when its statements count; zero: no bound.
	From, Until time.Time
}

// ParseTrusted reads a key as Key.String writes it, followed by what bounds it, in
// any order: only=HDK_QUERY+cancel from=2026-12-01 until=2027-12-01. A day begins at
// midnight UTC, and RFC 3339 times are read too. Each bound is given once.
func ParseTrusted(text string) (t Trusted, err error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		fields = []string{""}
	}
	if t.Key, err = ParseKey(fields[0]); err != nil {
		return Trusted{}, err
	}
	seen := map[string]bool{}
	for _, field := range fields[1:] {
		name, value, _ := strings.Cut(field, "=")
		if seen[name] {
			return Trusted{}, fmt.Errorf("%.40s= is given twice", name)
		}
		seen[name] = true
		switch name {
		case "only":
			t.Only, err = parseOnly(value)
		case "from":
			t.From, err = parseDay(value)
		case "until":
			t.Until, err = parseDay(value)
		default:
			err = fmt.Errorf("%.40q is none of only=, from= and until=", field)
		}
		if err != nil {
			return Trusted{}, err
		}
	}
	if !t.Until.IsZero() && !t.From.Before(t.Until) {
		return Trusted{}, fmt.Errorf("the key ends (until=) before it begins (from=)")
	}
	return t, nil
}

func parseOnly(list string) ([]string, error) {
	only := strings.Split(list, "+")
	for _, word := range only {
		if !ValidType(word) {
			return nil, fmt.Errorf("only=%.80s: %.80q is no item type, nor %s or %s", list, word, MayCancel, MayReboot)
		}
	}
	return only, nil
}

func parseDay(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil && !at.IsZero() {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no day such as 2026-12-01", text)
}

// ended says why the key does not count at a time; nil if it does.
func (t Trusted) ended(now time.Time) error {
	switch {
	case !t.From.IsZero() && now.Add(ClockSkew).Before(t.From):
		return fmt.Errorf("%w: key %s counts from %s on", ErrKeyEnded, t.ID(), t.From.UTC().Format(time.RFC3339))
	case !t.Until.IsZero() && !now.Before(t.Until):
		return fmt.Errorf("%w: key %s counted until %s", ErrKeyEnded, t.ID(), t.Until.UTC().Format(time.RFC3339))
	}
	return nil
}

// permits says what of a statement is more than the key may ask for; nil if nothing is.
func (t Trusted) permits(s Statement) error {
	lacks := func(word string) bool { return len(t.Only) > 0 && !slices.Contains(t.Only, word) }
	refuse := func(what string) error { return fmt.Errorf("%w: key %s, %s", ErrKeyRole, t.ID(), what) }
	switch {
	case s.Cancel != nil && lacks(MayCancel):
		return refuse("a cancel")
	case s.Task == nil:
		return nil
	case s.Task.IsReboot && lacks(MayReboot):
		return refuse("a restart of the host")
	}
	for _, item := range s.Task.Items {
		if lacks(item.Type) {
			return refuse(fmt.Sprintf("%.80q", item.Type))
		}
	}
	return nil
}
