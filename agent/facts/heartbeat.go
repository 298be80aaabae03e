package facts

import (
	"context"
	"math/rand/v2"
	"time"
)

// Interval is the usual time between two heartbeats.
const Interval = time.Minute

// jitter is the largest deviation from the interval, as a share of it.
const jitter = 0.2

// Heartbeat calls Beat at once and then about every Every, so that those of a
// fleet that started together drift apart.
type Heartbeat struct {
	Every time.Duration // 0: Interval. Each wait is this, give or take a fifth.
	Beat  func()        // never called twice at once
}

// Run beats until ctx ends.
func (h Heartbeat) Run(ctx context.Context) {
	if h.Every <= 0 {
		h.Every = Interval
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return
		}
		h.Beat()
		timer.Reset(spread(h.Every))
	}
}

func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + jitter*(2*rand.Float64()-1)))
}
