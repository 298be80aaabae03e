package diagnosis

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
)

// cards fails when a card is missing. The number of cards is the bus's: gaps in their
// ids are none by themselves, as the ids of some servers and of cards that a machine
// was given have gaps. A card that is on neither is suspected by the count, where
// servers of the family have usual ones.
type cards struct{}

var powerCycle = ascend.Remedy(ascend.ErrNoCard)

const readBus = "Read /sys/bus/pci/devices by hand; if it is in order there, check host.root in the agent's configuration."

func (cards) run(_ context.Context, p *probe) (string, []Finding) {
	inv := p.inventory
	if inv.DevicesErr != nil {
		return "the PCI bus", []Finding{{Warn, inv.DevicesErr.Error(), readBus}}
	}
	onBus := count(len(inv.Devices), "chip") + " on the PCI bus"
	if len(inv.Cards) == 0 {
		found := p.noCards()
		if len(inv.Devices) == 0 {
			return onBus, append(found, Finding{Fail, "the driver lists no card, and no Ascend chip is on the PCI bus",
				"See the check driver. If this server has its NPUs on the PCI bus, not on UB or in an SoC: " + powerCycle})
		}
		return onBus, append(found, Finding{Grade: Info, What: fmt.Sprintf("chips on the PCI bus: %d", len(inv.Devices))})
	}
	var found []Finding
	switch chips := inv.ChipCount(); {
	case len(inv.Devices) <= chips:
	case ascend.Contained(p.host.Files()):
		found = append(found, Finding{Grade: Info, What: fmt.Sprintf("%d chips are on the PCI bus, of which this container was given %d", len(inv.Devices), chips)})
	default:
		found = append(found, Finding{Fail, fmt.Sprintf("%d chips are on the PCI bus and the driver lists %d%s", len(inv.Devices), chips, p.unlisted()), powerCycle})
	}
	for _, c := range inv.OffBus() {
		found = append(found, Finding{Fail, fmt.Sprintf("card %d: the driver lists it and the PCI bus has no device at %s", c.ID, c.Board.Bus()), powerCycle})
	}
	if inv.Family() == "" {
		found = append(found, Finding{Grade: Info, What: strings.TrimSuffix("the chips are of a family that this version does not know: "+inv.IDs(), ": ")})
	}
	if ascend.Server(inv.Family()) && !inv.Virtual && !ascend.Contained(p.host.Files()) {
		found = append(found, unusual(inv.List.Cards)...)
	}
	return p.examinedCards() + ", " + onBus, found
}

// unlisted names the addresses on the bus that npu-smi's table does not have, "" if it
// has no addresses at all.
func (p *probe) unlisted() string {
	table, err := p.summary()
	if err != nil {
		return ""
	}
	var missing []string
	for _, d := range p.inventory.Devices {
		if !slices.ContainsFunc(table.Chips, func(c ascend.ChipRow) bool { return c.Bus == d.Address }) {
			missing = append(missing, d.Address)
		}
	}
	if len(missing) == 0 || len(missing) == len(p.inventory.Devices) {
		return ""
	}
	return ", not " + strings.Join(missing, ", ")
}

// unusual reports cards that seem to be missing from a server. If the ids that are left
// out make the number of cards a usual one, those are missing; if one card more would,
// of eight or sixteen, the last may be.
func unusual(list []ascend.Card) []Finding {
	missing := gaps(list)
	switch {
	case usual(len(list)):
		return nil
	case len(missing) > 0 && usual(len(list)+len(missing)):
		return []Finding{{Fail, ascend.FormatCards(missing...) + ": not there", powerCycle}}
	}
	if !usual(len(list)+1) || len(list) < 7 {
		return nil // nothing says that one is missing
	}
	return []Finding{{Warn, fmt.Sprintf("%d cards are there; most servers of this family have one more", len(list)), "Count the cards; if one is missing: " + powerCycle}}
}

func usual(cards int) bool { return cards&(cards-1) == 0 && cards <= 16 }

// gaps are the ids below the highest that no card has.
func gaps(list []ascend.Card) []int {
	highest := 0
	has := map[int]bool{}
	for _, c := range list {
		has[c.ID] = true
		highest = max(highest, c.ID)
	}
	var missing []int
	for id := range highest {
		if !has[id] {
			missing = append(missing, id)
		}
	}
	return missing
}
