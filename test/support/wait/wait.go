// Package wait lets tests wait for a condition. The limit is long, because the machine
// may be busy and its disk may stall for seconds; a test that passes does not wait that
// long.
package wait

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// Patience is how long anything may take that takes a moment on an idle machine: a
// minute, or what E2E_PATIENCE says in seconds, for machines that are emulated.
var Patience = patience(os.Getenv("E2E_PATIENCE"))

// Pauses start short, since most conditions hold soon, and grow, so that checking costs
// little.
const shortest, longest = 2 * time.Millisecond, 25 * time.Millisecond

func patience(text string) time.Duration {
	if text == "" {
		return time.Minute
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds <= 0 {
		panic(fmt.Sprintf("E2E_PATIENCE=%q is not a positive number of seconds", text))
	}
	return time.Duration(seconds) * time.Second
}

// For waits until something holds, and ends the test if it does not within Patience. It
// is for the test's own goroutine, as Until is.
func For(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !within(Patience, holds) {
		t.Fatalf("waited %s until %s", Patience, what)
	}
}

// Until is For with a check that can say what is missing.
func Until(t testing.TB, what string, check func() error) {
	t.Helper()
	if err := Within(Patience, check); err != nil {
		t.Fatalf("waited %s until %s: %v", Patience, what, err)
	}
}

// Within calls check until it returns nil or the limit is reached, at least once, and
// returns its last answer.
func Within(limit time.Duration, check func() error) (err error) {
	within(limit, func() bool { err = check(); return err == nil })
	return err
}

func within(limit time.Duration, holds func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := shortest; !holds(); pause = min(2*pause, longest) {
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(pause)
	}
	return true
}
