package inbox

import (
	"sync"
	"time"
)

// clock keeps the newest time that others vouch for. A host's own clock may be
// years behind, after a battery died, or ahead. The zero value has heard of
// none.
type clock struct {
	mu    sync.Mutex
	told  time.Time // the newest
	heard time.Time // when it was told, with a monotonic reading
}

// vouch takes a time that is past.
func (c *clock) vouch(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.at()) {
		c.told, c.heard = t, time.Now()
	}
}

// at is the newest time, with what has passed since; zero if there is none. c.mu
// is held.
func (c *clock) at() time.Time {
	if c.told.IsZero() {
		return time.Time{}
	}
	return c.told.Add(time.Since(c.heard))
}

func (c *clock) newest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at()
}

func (c *clock) now() time.Time {
	now := time.Now()
	if newest := c.newest(); newest.After(now) {
		return newest
	}
	return now
}
