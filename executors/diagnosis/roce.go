package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"time"

	"devserver-agent/executors/ascend"
)

// roce examines the port of each chip: link, what it watches, address, light, TLS
// and counters. Several ports are asked in parallel, each its questions one after the
// other: hccn_tool refuses a second call about one chip.
type roce struct{}

func (roce) run(_ context.Context, p *probe) (string, []Finding) {
	if family := p.inventory.Family(); family != "" && !ascend.Server(family) {
		return count(len(p.cards()), "card"), []Finding{{Grade: Skip, What: "chips of this family have no ports"}}
	}
	if p.inventory.Err != nil {
		return "0 ports", p.noCards()
	}
	mapping, err := p.mapping()
	if err != nil {
		return "npu-smi's list of ports", []Finding{unanswered(err)}
	}
	var ports []*port
	for _, chip := range mapping {
		number := chip.Physical
		if number == nil {
			number = chip.Logic
		}
		if number == nil || chip.MCU() {
			continue
		}
		ports = append(ports, portsOf(chip.Card, *number, p.inventory.Family())...)
	}
	var all sync.WaitGroup
	for _, port := range ports {
		all.Go(func() { port.ask(p) })
	}
	all.Wait()
	ports = slices.DeleteFunc(ports, func(p *port) bool { return p.absent })
	return count(len(ports), "port"), judgePorts(ports)
}

// portsOf are the ports of a chip. How many a 950 has is not published: the first of
// each of its two dies is asked, and what is not there is left out.
func portsOf(card, chip int, family ascend.Chip) []*port {
	if family != ascend.Chip950 {
		return []*port{{card: card, link: ascend.Port{Chip: chip}}}
	}
	return []*port{
		{card: card, link: ascend.Port{Chip: chip, Several: true}},
		{card: card, link: ascend.Port{Chip: chip, Several: true, Die: 1}},
	}
}

// judgePorts puts together what was found of each port and of all.
func judgePorts(ports []*port) []Finding {
	var g, refused grouped
	down := 0
	for _, p := range ports {
		if p.down {
			down++
		}
	}
	for _, p := range ports {
		if p.refused != nil {
			refused.add(p.card, Finding{Skip, "ports cannot be asked here: " + ascend.Reason(p.refused), askElsewhere(p.refused)})
		}
		for _, f := range p.found {
			if p.down && f.Grade == Fail && down == len(ports) {
				// A server on its own has no cables.
				f = Finding{Warn, f.What + ", as no port has one", "If the server is cabled, check the switch."}
			}
			g.add(p.card, f)
		}
	}
	return append(append(refused.findings(), g.findings()...), oddTLS(ports)...)
}

var (
	inVM        = regexp.MustCompile(`(?i)\b(?:vms?|virtual|virtualization|guest)\b`)
	inContainer = regexp.MustCompile(`(?i)\b(?:container|docker)s?\b`)
)

// askElsewhere says where ports can be asked that cannot be asked here.
func askElsewhere(err error) string {
	switch said := err.Error(); {
	case inVM.MatchString(said):
		return "A virtual machine cannot ask its ports: see the hypervisor's host."
	case inContainer.MatchString(said):
		return "A container cannot ask its ports: see its host."
	}
	return ""
}

// port is one port and what was found of it.
type port struct {
	card    int
	link    ascend.Port
	down    bool
	tls     string // its switch, "" if not told
	refused error  // why it cannot be asked at all
	absent  bool   // there is no such port on this product
	found   []Finding
}

const (
	dim     = 0.1 // mW of a lane, where the module has no limit; this project's own, -10 dBm
	recable = "Check cable, transceiver and switch port."
)

func (p *port) say(g Grade, do, format string, args ...any) {
	name := fmt.Sprintf("port of chip %d: ", p.link.Chip)
	if p.link.Several {
		name = fmt.Sprintf("port %d of die %d of chip %d: ", p.link.Number, p.link.Die, p.link.Chip)
	}
	p.found = append(p.found, Finding{g, name + fmt.Sprintf(format, args...), do})
}

// ask asks until the port does not answer. A port that does not know the first question
// cannot be asked at all.
func (p *port) ask(s *probe) {
	for i, question := range []func(context.Context, ascend.Node) error{
		p.askLink, p.askHealth, p.askAddress, p.askLight, p.askTLS, p.askCounters, p.askHistory,
	} {
		err := patiently(s.ctx, s.busy, func() error { return question(s.ctx, s.node) })
		switch {
		case err == nil:
		case errors.Is(err, ascend.ErrNoCard) && i == 0 && p.link.Die > 0:
			p.absent = true
			return
		case errors.Is(err, ascend.ErrUnsupported) && i == 0:
			p.refused = err
			return
		case errors.Is(err, ascend.ErrUnsupported):
			// Older releases do not know every item.
		default:
			f := unanswered(err)
			p.say(f.Grade, f.Do, "%s", f.What)
			return
		}
	}
}

const (
	attempts  = 5
	busyPause = 200 * time.Millisecond
)

// patiently asks again while another program asks the same.
func patiently(ctx context.Context, pause time.Duration, ask func() error) error {
	var err error
	for range attempts {
		if err = ask(); !errors.Is(err, ascend.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
	return err
}

func (p *port) askLink(ctx context.Context, node ascend.Node) error {
	up, err := node.LinkUp(ctx, p.link)
	if err == nil && !up {
		p.down = true
		p.say(Fail, recable, "no link")
	}
	return err
}

func (p *port) askHealth(ctx context.Context, node ascend.Node) error {
	word, err := node.NetHealth(ctx, p.link)
	switch {
	case err != nil:
		return err
	case word == ascend.NetUnwatched:
		p.say(Info, "", "watches no address")
	case word != ascend.NetHealthy && !p.down:
		p.say(Warn, "Check the address that it watches (hccn_tool -netdetect) and the network between.", "does not reach what it watches: %s", word)
	}
	return nil
}

func (p *port) askAddress(ctx context.Context, node ascend.Node) error {
	address, err := node.Address(ctx, p.link)
	if err == nil && address == (netip.Prefix{}) {
		p.say(Warn, "Set one (hccn_tool -ip -s) if jobs use more than this server.", "has no address")
	}
	return err
}
