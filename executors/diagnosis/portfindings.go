package diagnosis

import (
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
)

// judgePorts puts together what was found of each port and of all. What several ports
// have in common is said once.
func judgePorts(ports []*port) []Finding {
	down := 0
	for _, p := range ports {
		if p.down {
			down++
		}
	}
	var refused grouped
	var order []Finding
	of := map[Finding][]*port{}
	for _, p := range ports {
		if p.refused != nil {
			refused.add(p.card, Finding{Skip, "ports cannot be asked here: " + ascend.Reason(p.refused), askElsewhere(p.refused)})
		}
		for _, f := range p.found {
			if p.down && f.Grade == Fail && down == len(ports) {
				// A server on its own has no cables.
				f = Finding{Warn, f.What + ", as no port has one", "If the server is cabled, check the switch."}
			}
			if of[f] == nil {
				order = append(order, f)
			}
			of[f] = append(of[f], p)
		}
	}
	found := refused.findings()
	for _, f := range order {
		var cards []int
		for _, p := range of[f] {
			if !slices.Contains(cards, p.card) {
				cards = append(cards, p.card)
			}
		}
		f.What = fmt.Sprintf("%s: %s: %s", ascend.FormatCards(cards...), portNames(of[f], ports), f.What)
		found = append(found, f)
	}
	return append(found, oddTLS(ports)...)
}

// portNames names some of the ports of a host.
func portNames(some, all []*port) string {
	position := func(p *port) string {
		if p.link.Several {
			return fmt.Sprintf("port %d of die %d", p.link.Number, p.link.Die)
		}
		return "port"
	}
	var chips []int
	for _, p := range some {
		if !slices.Contains(chips, p.link.Chip) {
			chips = append(chips, p.link.Chip)
		}
	}
	name := strings.ReplaceAll(ascend.FormatCards(chips...), "card", "chip")
	same := !slices.ContainsFunc(some, func(p *port) bool { return position(p) != position(some[0]) })
	others := slices.ContainsFunc(all, func(p *port) bool { return slices.Contains(chips, p.link.Chip) && !slices.Contains(some, p) })
	switch {
	case len(some) == 1, same && some[0].link.Several && others:
		return position(some[0]) + " of " + name
	case !others:
		return "ports of " + name
	}
	var names []string
	for _, p := range some {
		names = append(names, fmt.Sprintf("%s of chip %d", position(p), p.link.Chip))
	}
	return strings.Join(names, ", ")
}
