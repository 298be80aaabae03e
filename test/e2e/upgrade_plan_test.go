package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"devserver-agent/agent/failpoint"
)

// upgradePlan is an upgrade as its seed makes it, and what happens meanwhile.
type upgradePlan struct {
	seed   uint64
	goal   goal
	hosts  int
	pace   time.Duration // of an installer
	falls  time.Duration // from the request to restart until a host goes down
	apart  bool          // the broker is a process of its own
	early  bool          // things happen before all tasks run
	events []event
}

const (
	killInstaller happening = "kill installer" // kill -9 of all that a shim started
	restartHost   happening = "restart host"   // nobody asked an agent
	killPlane     happening = "kill control plane"
	killBroker    happening = "kill broker"
	fillDisk      happening = "fill disk"
)

// upgradeTroubles are drawn from with equal chances.
var upgradeTroubles = []happening{
	cancel, repeat, older, restore, killAgent, killAgent, killAgent, killAgent, killShim, killShim, killInstaller,
	restartHost, restartHost, restartHost, powerCycle, powerCycle, powerCycle,
	killPlane, killPlane, killBroker, killBroker, badNetwork, badNetwork, fillDisk,
}

var upgradePoints = append([]string{failpoint.RestartRecorded, failpoint.RestartAsked, failpoint.RestartAsked}, points...)

// newUpgradePlan draws a plan from its seed. A 310P has the fewest cards to be
// asked, so there are most of them.
func newUpgradePlan(seed uint64) upgradePlan {
	r := rand.New(rand.NewPCG(seed, seed+1))
	p := upgradePlan{
		seed: seed, goal: []goal{goalP310, goalP310, goalP310, goalA2, goalA3}[r.IntN(5)], hosts: 1 + r.IntN(4)/3,
		pace: time.Duration(200+r.IntN(700)) * time.Millisecond, falls: time.Duration(r.IntN(2)*r.IntN(800)) * time.Millisecond,
		apart: r.IntN(2) == 0, early: r.IntN(4) == 0,
	}
	for range 2 + r.IntN(6) {
		e := drawEvent(r, upgradeTroubles, upgradePoints, p.hosts)
		e.after = time.Duration(r.IntN(1000)) * time.Millisecond
		p.events = append(p.events, e)
	}
	return p
}

func (p upgradePlan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d %s to %v, pace %v, falls after %v, broker apart %t, early %t\n", p.seed, p.hosts, p.goal.model, p.goal.to, p.pace, p.falls, p.apart, p.early)
	for _, e := range p.events {
		fmt.Fprintf(&b, "  after %v %s of host %d, for %v, armed with %q, weather %d\n", e.after, e.what, e.on, e.lasts, e.point, e.sky)
	}
	return b.String()
}

// has reports whether something happens in the plan.
func (p upgradePlan) has(what happening) bool {
	for _, e := range p.events {
		if e.what == what {
			return true
		}
	}
	return false
}
