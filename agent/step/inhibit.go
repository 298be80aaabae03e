package step

import (
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/login1"
)

// inhibitTime bounds how long a program waits for logind's promise.
const inhibitTime = 2 * time.Second

// inhibit has logind keep the host up until release is called or the shim ends.
// Only those who ask logind are kept from it, and the superuser may overrule it:
// what holds in every case is the unit of a flash, which is waited for.
func inhibit(why string) (release func()) {
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return func() {}
	}
	promise := make(chan *os.File, 1)
	go func() {
		defer close(promise)
		conn, err := login1.New()
		if err != nil {
			return
		}
		defer conn.Close()
		if file, err := conn.Inhibit("shutdown", "devserver-agent", why, "block"); err == nil {
			promise <- file
		}
	}()
	select {
	case file := <-promise:
		return func() { _ = file.Close() } // nil is none, and says so
	case <-time.After(inhibitTime):
		fmt.Fprintln(os.Stderr, "logind does not answer: only the unit keeps the host up while this runs")
		return func() {}
	}
}
