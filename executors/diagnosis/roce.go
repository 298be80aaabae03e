package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"devserver-agent/executors/ascend"
)

// roce looks at the port of each chip: link, what it watches, address, light, TLS
// and counters. Ports are asked at the same time, each its questions one after the
// other: hccn_tool refuses a second call about one chip.
type roce struct{}

func (roce) look(_ context.Context, s *survey) []Finding {
	if family := s.family(); !ascend.Server(family) {
		return []Finding{{Grade: Skip, What: "chips of this family have no ports"}}
	}
	mapping, err := s.mapping()
	if err != nil {
		return []Finding{unanswered(err)}
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
		ports = append(ports, &port{card: chip.Card, is: ascend.Port{Chip: *number}})
	}
	var all sync.WaitGroup
	for _, p := range ports {
		all.Go(func() { p.ask(s) })
	}
	all.Wait()
	var t tally
	down := 0
	for _, p := range ports {
		if p.down {
			down++
		}
	}
	for _, p := range ports {
		for _, f := range p.found {
			if p.down && f.Grade == Fail && down == len(ports) {
				// A server on its own has no cables.
				f = Finding{Warn, f.What + ", as no port has one", "If the server is cabled, check the switch."}
			}
			t.add(p.card, f)
		}
	}
	return append(t.findings(), oddTLS(ports)...)
}

// port is one port and what was found of it.
type port struct {
	card  int
	is    ascend.Port
	down  bool
	tls   string // its switch, "" if not told
	found []Finding
}

const (
	dim     = 0.1 // mW of a lane; this project's limit, -10 dBm
	recable = "Check cable, transceiver and switch port."
)

func (p *port) say(g Grade, do, format string, args ...any) {
	p.found = append(p.found, Finding{g, fmt.Sprintf("port of chip %d: ", p.is.Chip) + fmt.Sprintf(format, args...), do})
}

// ask asks until the port does not answer.
func (p *port) ask(s *survey) {
	for _, question := range []func(context.Context, ascend.Node) error{
		p.askLink, p.askHealth, p.askAddress, p.askLight, p.askTLS, p.askCounters, p.askHistory,
	} {
		err := patiently(s.ctx, s.busy, func() error { return question(s.ctx, s.node) })
		switch {
		case err == nil:
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
	up, err := node.LinkUp(ctx, p.is)
	if err == nil && !up {
		p.down = true
		p.say(Fail, recable, "no link")
	}
	return err
}

func (p *port) askHealth(ctx context.Context, node ascend.Node) error {
	word, err := node.NetHealth(ctx, p.is)
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
	address, err := node.Address(ctx, p.is)
	if err == nil && address == (netip.Prefix{}) {
		p.say(Warn, "Set one (hccn_tool -ip -s) if jobs use more than this server.", "has no address")
	}
	return err
}

// lane is a field with the light of one lane.
var lane = regexp.MustCompile(`(?i)^(rx|tx) ?power ?\d*$`)

func (p *port) askLight(ctx context.Context, node ascend.Node) error {
	reading, err := node.Port(ctx, ascend.PortOptical, p.is)
	if err != nil || p.down {
		return err
	}
	if present, _ := reading.Get("present"); present != "present" {
		return nil // copper, or built in
	}
	for _, f := range reading.Fields {
		if !lane.MatchString(f.Key) || !strings.HasSuffix(f.Value, "mW") {
			continue
		}
		power, err := leading(f.Value)
		if err == nil && power < dim {
			p.say(Warn, recable, "%s is %s, less than %v mW", f.Key, f.Value, dim)
		}
	}
	return nil
}

var tlsSwitch = regexp.MustCompile(`tls switch\[(\d)\]`)

func (p *port) askTLS(ctx context.Context, node ascend.Node) error {
	reading, err := node.Port(ctx, ascend.PortTLS, p.is)
	for _, f := range reading.Fields {
		if match := tlsSwitch.FindStringSubmatch(f.Key + ":" + f.Value); match != nil {
			p.tls = match[1]
		}
	}
	return err
}

// oddTLS warns when some ports use TLS and others do not: they do not talk to each
// other.
func oddTLS(ports []*port) []Finding {
	var on, off []int
	for _, p := range ports {
		switch p.tls {
		case "1":
			on = append(on, p.card)
		case "0":
			off = append(off, p.card)
		}
	}
	if len(on) == 0 || len(off) == 0 {
		return nil
	}
	return []Finding{{Warn, fmt.Sprintf("TLS is on for %s and off for %s", ascend.NameCards(on...), ascend.NameCards(off...)), "Set the same on all (hccn_tool -tls -s)."}}
}

// perMillion bad packets are worth a warning.
const perMillion = 1

func (p *port) askCounters(ctx context.Context, node ascend.Node) error {
	reading, err := node.Port(ctx, ascend.PortCounters, p.is)
	if err != nil {
		return err
	}
	value := func(key string) float64 {
		text, _ := reading.Get(key)
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0
		}
		return n
	}
	bad, all := value("mac_rx_bad_pkt_num"), value("mac_rx_total_pkt_num")
	switch {
	case bad > 0 && bad*1e6 > all*perMillion:
		p.say(Warn, recable, "%.0f of %.0f packets came damaged", bad, all)
	case bad > 0:
		p.say(Info, "", "%.0f of %.0f packets came damaged", bad, all)
	}
	return nil
}

// flapping is how many lost links are more than those of a restart and a pulled
// cable.
const flapping = 3

func (p *port) askHistory(ctx context.Context, node ascend.Node) error {
	reading, err := node.Port(ctx, ascend.PortHistory, p.is)
	if err != nil {
		return err
	}
	text, _ := reading.Get("link down count")
	if n, err := strconv.Atoi(text); err == nil && n >= flapping {
		p.say(Warn, recable, "its link was lost %d times", n)
	}
	return nil
}
