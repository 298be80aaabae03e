package access

import (
	"net"
	"sync"

	"golang.org/x/time/rate"
)

// Bounds of guessing.
const (
	failuresPerSecond = 1
	failuresAtOnce    = 20
	maxHosts          = 10_000 // remembered; beyond, all that are not are one
)

// limits bound what one user asks for, and how often an address is told that it guessed
// wrong. Whoever guesses right is let in: others may come from the same address.
type limits struct {
	perUser rate.Limit

	mu    sync.Mutex
	users map[string]*rate.Limiter
	hosts map[string]*rate.Limiter // addresses that guessed wrong
}

func newLimits(perUser float64) limits {
	return limits{perUser: rate.Limit(perUser), users: map[string]*rate.Limiter{}, hosts: map[string]*rate.Limiter{}}
}

// mayAsk takes one of a user's requests; users are those of the file, so few.
func (l *limits) mayAsk(user string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users[user] == nil {
		l.users[user] = rate.NewLimiter(l.perUser, max(1, int(2*l.perUser)))
	}
	return l.users[user].Allow()
}

// mayGuess takes a wrong guess from an address.
func (l *limits) mayGuess(address string) bool {
	host, _, _ := net.SplitHostPort(address) // "" is a host as good as any
	l.mu.Lock()
	defer l.mu.Unlock()
	host = l.known(host)
	if l.hosts[host] == nil {
		l.hosts[host] = rate.NewLimiter(failuresPerSecond, failuresAtOnce)
	}
	return l.hosts[host].Allow()
}

// known is the name under which a host is counted; mu is held.
func (l *limits) known(host string) string {
	if l.hosts[host] != nil || len(l.hosts) < maxHosts {
		return host
	}
	for name, guesser := range l.hosts {
		if guesser.Tokens() >= failuresAtOnce { // it has not guessed for a while
			delete(l.hosts, name)
		}
	}
	if len(l.hosts) < maxHosts {
		return host
	}
	return ""
}
