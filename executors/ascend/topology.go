package ascend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// Topology is how the chips of a host are linked, by the driver's own names for
// them, which count logic ids: link[i][j] is Links[i][j], "X" for a chip and itself.
type Topology struct {
	Chips    []string   `json:"chips"` // such as NPU0
	Links    [][]string `json:"links"` // a row for each of Chips
	Affinity []string   `json:"affinity,omitempty"`
}

// Topology is the driver's table of links. Devices without one are ErrUnsupported.
func (n Node) Topology(ctx context.Context) (Topology, error) {
	return ask(ctx, n.host, ParseTopology, "npu-smi", "info", "-t", "topo")
}

// chipLabel names a chip of a topology; the second form is an A3's.
var chipLabel = lazyregexp.New(`^(?:NPU|Phy-ID|Chip)[ -]?[0-9]{1,4}$`)

// ParseTopology reads what `npu-smi info -t topo` prints: a matrix whose links are
// named HCCS, HCCS_SW, SIO, PIX, PXB, PHB, SYS or otherwise, then often the cores
// that are near each chip, then a legend. Every chip has a row, in the order of the
// columns, and a link is the same from both its ends.
func ParseTopology(out []byte) (Topology, error) {
	if err := tooLong(out); err != nil {
		return Topology{}, err
	}
	var t Topology
	for line := range lines(out) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || !chipLabel.MatchString(words[0]):
		case t.Chips == nil:
			for _, word := range words {
				if chipLabel.MatchString(word) {
					t.Chips = append(t.Chips, word)
				}
			}
			if len(t.Chips) > maxChips {
				return Topology{}, fmt.Errorf("links more than %d chips", maxChips)
			}
		default:
			if err := t.row(words); err != nil {
				return Topology{}, err
			}
		}
	}
	if err := t.check(); err != nil {
		return Topology{}, err
	}
	return t, nil
}

func (t *Topology) row(words []string) error {
	switch at := len(t.Links); {
	case at == len(t.Chips) || words[0] != t.Chips[at]:
		return fmt.Errorf("has a row for %s out of turn", clip(words[0], maxSaid))
	case len(words) <= len(t.Chips):
		return fmt.Errorf("has %d links for %s and %d chips", len(words)-1, clip(words[0], maxSaid), len(t.Chips))
	}
	end := 1 + len(t.Chips)
	var links []string
	for _, word := range words[1:end] {
		links = append(links, clip(word, maxSaid))
	}
	t.Links = append(t.Links, links)
	t.Affinity = append(t.Affinity, clip(strings.Join(words[end:], " "), maxValue))
	return nil
}

func (t *Topology) check() error {
	switch {
	case len(t.Chips) == 0:
		return errors.New("is not a table of links")
	case len(t.Links) != len(t.Chips):
		return fmt.Errorf("has %d rows for %d chips", len(t.Links), len(t.Chips))
	}
	for i := range t.Links {
		for j := range i {
			if t.Links[i][j] != t.Links[j][i] {
				return fmt.Errorf("links %s with %s as %s and back as %s", t.Chips[i], t.Chips[j], t.Links[i][j], t.Links[j][i])
			}
		}
	}
	return nil
}
