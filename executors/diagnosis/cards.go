package diagnosis

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
)

// cards fails when a card is missing: the bus has chips that the driver does not
// list, or the numbers of the cards have a gap. A last card that is on neither is
// suspected by the count.
type cards struct{}

const reseat = "Power the host off and on; if the card stays away, have it repaired."

func (cards) look(_ context.Context, s *survey) []Finding {
	devices, err := s.node.Devices()
	if err != nil {
		return []Finding{{Grade: Warn, What: err.Error()}}
	}
	list := s.cards()
	if len(list) == 0 {
		found := s.silent()
		if len(devices) == 0 {
			return append(found, Finding{Fail, "no Ascend chip is on the PCI bus", reseat})
		}
		return append(found, Finding{Grade: Info, What: fmt.Sprintf("chips on the PCI bus: %d", len(devices))})
	}
	chips := 0
	for _, c := range list {
		chips += max(c.Chips, 1)
	}
	var found []Finding
	if len(devices) > chips {
		found = append(found, Finding{Fail, fmt.Sprintf("%d chips are on the PCI bus and the driver lists %d%s", len(devices), chips, s.unlisted(devices)), reseat})
	}
	if missing := gaps(list); ascend.Server(s.family()) && len(missing) > 0 {
		found = append(found, Finding{Fail, ascend.NameCards(missing...) + ": not there", reseat})
	} else if n := len(list); ascend.Server(s.family()) && n&(n-1) != 0 {
		found = append(found, Finding{Warn, fmt.Sprintf("%d cards are there; servers have 1, 2, 4, 8 or 16 of this family", n), "Count the cards; if one is missing: " + reseat})
	}
	return found
}

// unlisted names the addresses that npu-smi's table does not have, "" if it has no
// addresses at all.
func (s *survey) unlisted(devices []ascend.Device) string {
	table, err := s.summary()
	if err != nil {
		return ""
	}
	var missing []string
	for _, d := range devices {
		if !slices.ContainsFunc(table.Chips, func(c ascend.ChipRow) bool { return c.Bus == d.Address }) {
			missing = append(missing, d.Address)
		}
	}
	if len(missing) == 0 || len(missing) == len(devices) {
		return ""
	}
	return ", not " + strings.Join(missing, ", ")
}

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
