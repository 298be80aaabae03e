package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/ascend"
)

// hccs fails when links between the chips of the host are down.
type hccs struct{}

const restartHost = "Restart the host when its work allows; if it stays so, have the card repaired."

// chipLinks are the links of one chip, or why they are not known.
type chipLinks struct {
	chip  int
	links ascend.HCCS
	err   error
}

func (hccs) run(_ context.Context, p *probe) (string, []Finding) {
	cards := each(p, func(ctx context.Context, card ascend.CardReport) ([]chipLinks, error) {
		var all []chipLinks
		for chip := range card.ChipCount() {
			asked := chip
			if p.inventory.Family() == ascend.Chip950 {
				asked = ascend.OnlyChip
			}
			links, err := p.node.HCCS(ctx, card.ID, asked)
			all = append(all, chipLinks{chip, links, err})
		}
		return all, nil
	})
	// Counters alone are all that a 310P has; elsewhere a health that is missing is of the card.
	countersOnly := p.inventory.Family() == ascend.Chip310P && !slices.ContainsFunc(cards, func(a answer[[]chipLinks]) bool {
		return slices.ContainsFunc(a.value, func(c chipLinks) bool { return c.links.Health != "" })
	})
	var g grouped
	for i, card := range cards {
		for _, chip := range card.value {
			name := chipName(chip.chip, len(card.value))
			switch {
			case errors.Is(chip.err, ascend.ErrUnsupported):
				g.add(card.card, unanswered(chip.err)) // is the same of all its chips
			case chip.err != nil:
				f := p.unanswered(chip.err)
				f.What = name + f.What
				if p.unknown(p.cards()[i], chip.chip) {
					f.Grade, f.Do = Skip, "" // the check of healths reports the chip
				}
				g.add(card.card, f)
			case chip.links.Judged && !chip.links.Healthy:
				g.add(card.card, Finding{Fail, name + notHealthy(chip.links) + missingLanes(chip.links), restartHost})
			case chip.links.Judged && missingLanes(chip.links) != "":
				g.add(card.card, Finding{Warn, name + "HCCS health is OK" + missingLanes(chip.links), restartHost})
			case chip.links.Judged:
			case missingLanes(chip.links) != "":
				g.add(card.card, Finding{Warn, name + "HCCS has no health" + missingLanes(chip.links), restartHost})
			case countersOnly:
				g.add(card.card, Finding{Grade: Skip, What: "this family reports the counters of its links only, and no health"})
			default:
				g.add(card.card, Finding{Grade: Skip, What: name + "the driver does not give its HCCS health"})
			}
		}
	}
	return p.examinedCards(), append(g.findings(), p.noCards()...)
}

func notHealthy(h ascend.HCCS) string {
	if strings.EqualFold(h.Health, "NOK") {
		return "HCCS is not healthy"
	}
	return fmt.Sprintf("HCCS is not healthy (its health is %q)", h.Health)
}

// missingLanes says which links have no lanes, or fewer than another: the links of a chip
// are alike. "" if none has.
func missingLanes(h ascend.HCCS) string {
	most := 0
	for _, lanes := range h.Lanes {
		most = max(most, lanes)
	}
	var down, narrow []string
	for i, lanes := range h.Lanes {
		switch {
		case lanes == 0:
			down = append(down, strconv.Itoa(i+1))
		case lanes < most:
			narrow = append(narrow, fmt.Sprintf("%d (%d of %d)", i+1, lanes, most))
		}
	}
	words := ""
	if len(down) > 0 {
		words += ", no lanes on link " + strings.Join(down, ", ")
	}
	if len(narrow) > 0 {
		words += ", fewer lanes than the others on link " + strings.Join(narrow, ", ")
	}
	return words
}

// pcie compares the chips' PCIe links with what they can do, and reads the bus's
// error counters (Linux, Documentation/ABI/testing/sysfs-bus-pci and
// sysfs-bus-pci-devices-aer_stats).
type pcie struct{}

func (pcie) run(_ context.Context, p *probe) (string, []Finding) {
	devices, err := p.inventory.Devices, p.inventory.DevicesErr
	if err != nil {
		return "the PCI bus", []Finding{{Warn, err.Error(), readBus}}
	}
	examined := count(len(devices), "chip") + " on the PCI bus"
	if len(devices) == 0 {
		return examined, []Finding{{Grade: Skip, What: "no Ascend chip is on the PCI bus"}}
	}
	var found []Finding
	for _, d := range devices {
		for _, f := range judgeLink(p.host.Files(), path.Join("sys/bus/pci/devices", d.Address)) {
			f.What = d.Address + ": " + f.What
			found = append(found, f)
		}
	}
	return examined, found
}

func judgeLink(files fs.FS, dir string) []Finding {
	read := func(name string) string { return strings.TrimSpace(ascend.Head(files, path.Join(dir, name))) }
	var found []Finding
	for _, what := range []struct{ name, unit string }{{"width", " lanes"}, {"speed", ""}} {
		now, able := read("current_link_"+what.name), read("max_link_"+what.name)
		if lower(now, able) {
			found = append(found, Finding{Warn, fmt.Sprintf("its PCIe link runs at %s%s, it can do %s", now, what.unit, able), restartHost})
		}
	}
	for _, count := range []struct {
		file, key string
		grade     Grade
	}{{"aer_dev_fatal", "TOTAL_ERR_FATAL", Fail}, {"aer_dev_nonfatal", "TOTAL_ERR_NONFATAL", Warn}} {
		if n := counter(read(count.file), count.key); n > 0 {
			found = append(found, Finding{count.grade, fmt.Sprintf("the bus counts %d errors (%s)", n, count.key), restartHost})
		}
	}
	return found
}

// lower compares the numbers that two values begin with. What is not a number is not
// lower.
func lower(now, able string) bool {
	a, err := leading(now)
	b, ableErr := leading(able)
	return err == nil && ableErr == nil && a < b
}

var errNoNumber = errors.New("no number")

func leading(text string) (float64, error) {
	word, _, _ := strings.Cut(text, " ")
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || !(n >= 0) {
		return 0, errNoNumber
	}
	return n, nil
}

func counter(text, key string) int {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err == nil {
				return n
			}
		}
	}
	return 0
}
