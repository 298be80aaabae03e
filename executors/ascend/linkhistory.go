package ascend

import (
	"context"
	"errors"
	"time"
)

// LinkHistory is what hccn_tool remembers of a port's link. Its times are those of
// the device's clock, which may differ from the host's and mostly has no zone: compare
// them with each other only.
type LinkHistory struct {
	Now     time.Time    `json:"now,omitzero"`      // when it was asked; zero: not reported
	Up      *int         `json:"up,omitempty"`      // how often the link came up; nil: not reported
	Down    *int         `json:"down,omitempty"`    // how often it was lost; older releases do not count it
	Changes []LinkChange `json:"changes,omitempty"` // the latest few, the newest first on all known releases
	// Unread is how many records could not be read; UnreadRecord is the first of them.
	Unread       int    `json:"unread,omitempty"`
	UnreadRecord string `json:"unread_record,omitempty"`
}

// LinkChange is a link that came up or was lost.
type LinkChange struct {
	At time.Time `json:"at"`
	Up bool      `json:"up"`
}

// maxChanges bounds the changes of one port; devices keep some ten.
const maxChanges = 256

// LinkHistory is what a port remembers of its link.
func (n Node) LinkHistory(ctx context.Context, p Port) (LinkHistory, error) {
	return ask(ctx, n.host, ParseLinkHistory, p.argv(PortHistory)...)
}

// ParseLinkHistory reads what `hccn_tool -i N -link_stat -g` prints: the device's
// time, counts and the latest changes, a line each. Records that make no sense are
// counted in Unread.
func ParseLinkHistory(out []byte) (LinkHistory, error) {
	if err := tooLong(out); err != nil {
		return LinkHistory{}, err
	}
	var r linkRecords
	for line := range lines(out) {
		if err := r.take(line); err != nil {
			return LinkHistory{}, err
		}
	}
	if !r.about {
		return LinkHistory{}, errors.New("says nothing of the link's history")
	}
	return r.history(), nil
}

func optionalCount(f Field) (*int, error) {
	if none(f.Value) {
		return nil, nil
	}
	n, err := count(f)
	if err != nil {
		return nil, err
	}
	return &n, nil
}

// Lost is how often the link was lost, as far as is known: releases that do not count
// it have the records, and a link that came up again was lost before.
func (h LinkHistory) Lost() int {
	if h.Down != nil {
		return *h.Down
	}
	n := 0
	for _, c := range h.Changes {
		if !c.Up {
			n++
		}
	}
	if h.Up != nil {
		n = max(n, *h.Up-1)
	}
	return n
}

// Burst is the largest number of losses within a time of this length, of those in the
// recent time before the device was asked; and when the last of these was. It is 0 when
// the device does not tell its time.
func (h LinkHistory) Burst(length, recent time.Duration) (lost int, last time.Time) {
	for _, end := range h.Changes {
		if age := h.Now.Sub(end.At); end.Up || age < 0 || age > recent {
			continue
		}
		n := 0
		for _, c := range h.Changes {
			if before := end.At.Sub(c.At); !c.Up && before >= 0 && before <= length {
				n++
			}
		}
		if n > lost {
			lost, last = n, end.At
		}
	}
	return lost, last
}

// Undated is the number of losses without a record that may be recent: devices keep the
// latest few records, and a loss without one is older than the oldest of them, unless
// records could not be read.
func (h LinkHistory) Undated(recent time.Duration) int {
	recorded := 0
	for _, c := range h.Changes {
		if !h.Now.IsZero() && h.Now.Sub(c.At) > recent && h.Unread == 0 {
			return 0
		}
		if !c.Up {
			recorded++
		}
	}
	return max(0, h.Lost()-recorded)
}
