package facts

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestHeartbeatsAreAMinuteApartGiveOrTakeAFifth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const beats = 500
		ctx, cancel := context.WithCancel(t.Context())
		var at []time.Time
		start := time.Now()
		Heartbeat{Beat: func() {
			if at = append(at, time.Now()); len(at) == beats {
				cancel()
			}
		}}.Run(ctx)

		if !at[0].Equal(start) {
			t.Errorf("the first beat came after %s", at[0].Sub(start))
		}
		shortest, longest := time.Hour, time.Duration(0)
		for i := 1; i < beats; i++ {
			wait := at[i].Sub(at[i-1])
			shortest, longest = min(shortest, wait), max(longest, wait)
		}
		if shortest < 48*time.Second || longest > 72*time.Second {
			t.Errorf("waits are from %s to %s", shortest, longest)
		}
		if shortest > 50*time.Second || longest < 70*time.Second {
			t.Errorf("waits hardly differ: from %s to %s", shortest, longest)
		}
	})
}

func TestHeartbeatStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		n := 0
		start := time.Now()
		Heartbeat{Every: 4 * time.Second, Beat: func() { n++ }}.Run(ctx)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("ran for %s", took)
		}
		if n < 3 || n > 4 {
			t.Errorf("%d beats in 10 s at 4 s", n)
		}
	})
}
