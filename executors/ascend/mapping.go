package ascend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MappedChip is one chip of the driver's mapping of ids. A2 cards list their
// management controller too, as a chip named Mcu without a logic id.
type MappedChip struct {
	Card     int    `json:"card"`
	Chip     int    `json:"chip"`
	Logic    *int   `json:"logic,omitempty"`    // as applications count it
	Physical *int   `json:"physical,omitempty"` // as hccn_tool counts it; A3 and later
	Slot     *int   `json:"slot,omitempty"`     // 950
	Name     string `json:"name"`               // such as Ascend 910B4
}

// MCU reports whether it is a card's management controller.
func (m MappedChip) MCU() bool { return strings.EqualFold(m.Name, "Mcu") }

// Mapping is the driver's mapping of ids.
func (n Node) Mapping(ctx context.Context) ([]MappedChip, error) {
	return ask(ctx, n.host, ParseMapping, "npu-smi", "info", "-m")
}

// ParseMapping reads what `npu-smi info -m` prints. A host without cards is
// ErrNoCards.
func ParseMapping(out []byte) ([]MappedChip, error) {
	if err := tooLong(out); err != nil {
		return nil, err
	}
	var header columns
	var chips []MappedChip
	for line := range lines(out) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "NPU ID") && strings.HasSuffix(text, "Chip Name"):
			header = cutHeader(line)
		case header == nil || text == "" || strings.HasPrefix(text, "["):
		case len(chips) == maxChips:
			return nil, fmt.Errorf("lists more than %d chips", maxChips)
		default:
			chip, err := mapped(header, line)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(chips, func(c MappedChip) bool { return c.Card == chip.Card && c.Chip == chip.Chip }) {
				return nil, fmt.Errorf("lists chip %d of NPU %d twice", chip.Chip, chip.Card)
			}
			chips = append(chips, chip)
		}
	}
	switch {
	case header == nil:
		return nil, errors.New("is no mapping")
	case len(chips) == 0:
		return nil, ErrNoCards
	}
	return chips, nil
}

func mapped(header columns, line string) (MappedChip, error) {
	r := row{text: map[string]string{}}
	header.values(line, r.text)
	chip := MappedChip{
		Card: r.number("NPU ID"), Chip: r.number("Chip ID"), Name: r.value("Chip Name"),
		Logic: r.optional("Chip Logic ID"), Physical: r.optional("Chip Phy-ID"), Slot: r.optional("Slot ID"),
	}
	return chip, r.err
}
