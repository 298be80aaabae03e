package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"devserver-agent/executors/ascend"
)

// hccs fails when links between the chips of the host are down.
type hccs struct{}

const relink = "Restart the host when its work allows; if it stays so, have the card repaired."

func (hccs) look(_ context.Context, s *survey) []Finding {
	chips := map[int]int{}
	for _, c := range s.cards() {
		chips[c.ID] = max(c.Chips, 1)
	}
	links := each(s, func(ctx context.Context, card int) ([]ascend.HCCS, error) {
		var all []ascend.HCCS
		for chip := range chips[card] {
			h, err := s.node.HCCS(ctx, card, chip)
			if err != nil {
				return all, err
			}
			all = append(all, h)
		}
		return all, nil
	})
	var t tally
	for _, a := range links {
		for chip, h := range a.value {
			if !h.Healthy {
				t.add(a.card, Finding{Fail, chipName(chip, chips[a.card]) + "HCCS is not healthy" + withoutLanes(h), relink})
			}
		}
		if a.err != nil {
			t.add(a.card, unanswered(a.err))
		}
	}
	return append(t.findings(), s.silent()...)
}

func withoutLanes(h ascend.HCCS) string {
	var down []string
	for i, lanes := range h.Lanes {
		if lanes == 0 {
			down = append(down, strconv.Itoa(i+1))
		}
	}
	if len(down) == 0 {
		return ""
	}
	return ", no lanes on link " + strings.Join(down, ", ")
}

// pcie compares the chips' PCIe links with what they can do, and reads the bus's
// error counters (Linux, Documentation/ABI/testing/sysfs-bus-pci and
// sysfs-bus-pci-devices-aer_stats).
type pcie struct{}

func (pcie) look(_ context.Context, s *survey) []Finding {
	devices, err := s.node.Devices()
	if err != nil {
		return []Finding{{Grade: Warn, What: err.Error()}}
	}
	if len(devices) == 0 {
		return []Finding{{Grade: Skip, What: "no Ascend chip is on the PCI bus"}}
	}
	var found []Finding
	for _, d := range devices {
		for _, f := range judgeLink(s.host.Files(), path.Join("sys/bus/pci/devices", d.Address)) {
			f.What = d.Address + ": " + f.What
			found = append(found, f)
		}
	}
	return found
}

func judgeLink(files fs.FS, dir string) []Finding {
	read := func(name string) string { return strings.TrimSpace(ascend.Head(files, path.Join(dir, name))) }
	var found []Finding
	for _, what := range []struct{ name, unit string }{{"width", " lanes"}, {"speed", ""}} {
		now, able := read("current_link_"+what.name), read("max_link_"+what.name)
		if lower(now, able) {
			found = append(found, Finding{Warn, fmt.Sprintf("its PCIe link runs at %s%s, it can do %s", now, what.unit, able), relink})
		}
	}
	for _, count := range []struct {
		file, key string
		grade     Grade
	}{{"aer_dev_fatal", "TOTAL_ERR_FATAL", Fail}, {"aer_dev_nonfatal", "TOTAL_ERR_NONFATAL", Warn}} {
		if n := counter(read(count.file), count.key); n > 0 {
			found = append(found, Finding{count.grade, fmt.Sprintf("the bus counts %d errors (%s)", n, count.key), relink})
		}
	}
	return found
}

// lower compares the numbers that two values begin with. What is no number is not
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
		if value, is := strings.CutPrefix(line, key+" "); is {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err == nil {
				return n
			}
		}
	}
	return 0
}
