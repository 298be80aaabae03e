package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// patience is how long anything may take that takes a moment on an idle machine.
// E2E_PATIENCE has it in seconds, for machines that are emulated.
var patience = 60 * time.Second

func init() {
	if seconds, err := strconv.Atoi(os.Getenv("E2E_PATIENCE")); err == nil {
		patience = time.Duration(seconds) * time.Second
	}
}

// until waits for ok to return nil.
func until(t testing.TB, what string, ok func() error) {
	t.Helper()
	if err := soon(patience, ok); err != nil {
		t.Fatalf("waited %s until %s: %v", patience, what, err)
	}
}

// soon asks ok until it returns nil or time is up, and returns its last answer.
func soon(within time.Duration, ok func() error) error {
	deadline := time.Now().Add(within)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}
