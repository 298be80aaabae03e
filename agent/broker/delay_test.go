package broker

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestEveryAttemptButTheFirstIsSpread(t *testing.T) {
	servers := make([]nats.Server, 3)
	var most [20]time.Duration
	for range 400 {
		c := &Conn{opts: Options{MaxDelay: 2 * time.Minute}}
		if s, d := c.next(servers, nats.ServerInfo{}); d != 0 || s != &servers[0] {
			t.Fatalf("the first attempt waits %s", d)
		}
		c.attempts = 0 // connected, and lost
		for n := range most {
			s, d := c.next(servers, nats.ServerInfo{})
			if s != &servers[n%3] {
				t.Errorf("attempt %d goes to another server", n)
			}
			most[n] = max(most[n], d)
		}
	}
	bound := firstDelay
	for n, d := range most {
		if d > bound || d < bound/2 {
			t.Errorf("attempt %d waits %s at most, want nearly %s", n, d, bound)
		}
		bound = min(2*bound, 2*time.Minute)
	}
}
