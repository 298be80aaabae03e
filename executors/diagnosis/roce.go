package diagnosis

import (
	"context"
	"slices"
	"sync"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// roce examines the port of each chip: link, what it watches, address, light, TLS
// counters and the history of its link. Chips are asked in parallel, each for its ports one
// after the other: hccn_tool refuses a second call about one chip.
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
	var all sync.WaitGroup
	for _, chip := range mapping {
		number := chip.Physical
		if number == nil {
			number = chip.Logic
		}
		if number == nil || chip.MCU() {
			continue
		}
		ofChip := portsOf(chip.Card, *number, p.inventory.Family())
		ports = append(ports, ofChip...)
		all.Go(func() {
			for _, port := range ofChip {
				port.ask(p)
			}
		})
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

var (
	inVM        = lazyregexp.New(`(?i)\b(?:vms?|virtual|hypervisor|virtuali[sz]\w+|guest)\b`)
	onMetal     = lazyregexp.New(`(?i)\b(?:physical|bare)\b`)
	inContainer = lazyregexp.New(`(?i)\b(?:container|docker|pod)s?\b`)
)

// askElsewhere says where ports can be asked that cannot be asked here.
func askElsewhere(err error) string {
	switch said := err.Error(); {
	case inVM.MatchString(said):
		return "A virtual machine cannot ask its ports: see the hypervisor's host."
	case inContainer.MatchString(said):
		return "A container cannot ask its ports: see its host."
	case onMetal.MatchString(said):
		return "Only a physical host can ask its ports: see there."
	}
	return ""
}
