// Package wait is how tests wait for what others do: as long as a machine may take that
// builds beside them and whose disk stalls for seconds. A test that passes does not wait
// longer for it.
package wait

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Patience is how long anything may take that takes a moment on an idle machine.
// E2E_PATIENCE has it in seconds, for machines that are emulated.
var Patience = time.Minute

// The first checks follow each other closely, as most things are quick; what takes longer
// is not to be slowed down by being watched.
const shortest, longest = 2 * time.Millisecond, 25 * time.Millisecond

func init() {
	if seconds, err := strconv.Atoi(os.Getenv("E2E_PATIENCE")); err == nil {
		Patience = time.Duration(seconds) * time.Second
	}
}

// For waits until something holds, and ends the test if it does not within Patience.
func For(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !within(Patience, holds) {
		t.Fatalf("waited %s for: %s", Patience, what)
	}
}

// Until waits until check returns nil, and ends the test with its last answer if it does
// not within Patience.
func Until(t testing.TB, what string, check func() error) {
	t.Helper()
	if err := Within(Patience, check); err != nil {
		t.Fatalf("waited %s until %s: %v", Patience, what, err)
	}
}

// Within calls check until it returns nil or time is up, and returns its last answer.
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
