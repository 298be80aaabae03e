package tool

import (
	"slices"
	"strconv"

	"devserver-agent/test/fakehost"
)

// cards lists the NPU ids that are on the bus.
func (c *call) cards() []int {
	var ids []int
	for _, chip := range c.state.Visible() {
		if !slices.Contains(ids, chip.NPU) {
			ids = append(ids, chip.NPU)
		}
	}
	return ids
}

func (c *call) list() int {
	ids := c.cards()
	if len(ids) == 0 {
		c.printf("There is no NPU card on this server.\n")
		return 0
	}
	p := c.state.Profile()
	count := "Total Count"
	if p.ChipFirst {
		count = "Card Count"
	}
	c.field(count, len(ids))
	c.printf("\n")
	for _, id := range ids {
		c.field("NPU ID", id)
		if !p.Server {
			c.field("Product Name", p.Product)
			c.field("Serial Number", c.chipsOf(id)[0].Serial)
		}
		if !p.CardsOnly {
			c.field("Chip Count", len(c.chipsOf(id)))
		}
		c.printf("\n")
	}
	return 0
}

func (c *call) chipsOf(npu int) []fakehost.Chip {
	var chips []fakehost.Chip
	for _, chip := range c.state.Visible() {
		if chip.NPU == npu {
			chips = append(chips, chip)
		}
	}
	return chips
}

func (c *call) mapping() int {
	if len(c.cards()) == 0 {
		c.printf("There is no NPU card on this server.\n")
		return 0
	}
	p := c.state.Profile()
	row := func(cells ...any) {
		c.printf("\t")
		for _, cell := range cells[:len(cells)-1] {
			c.printf("%-30v ", cell)
		}
		c.printf("%-30v\n", cells[len(cells)-1])
	}
	switch {
	case p.CardsOnly:
		row("NPU ID", "Slot ID", "Chip ID", "Chip Phy-ID", "Chip Name")
	case p.Model == fakehost.A3:
		row("NPU ID", "Chip ID", "Chip Logic ID", "Chip Phy-ID", "Chip Name")
	default:
		row("NPU ID", "Chip ID", "Chip Logic ID", "Chip Name")
	}
	for _, id := range c.cards() {
		chips := c.chipsOf(id)
		for _, chip := range chips {
			switch {
			case p.CardsOnly:
				row(id, 16+id, 0, chip.Logic, p.LongName)
			case p.Model == fakehost.A3:
				row(id, chip.Chip, chip.Logic, chip.Logic, p.LongName)
			default:
				row(id, chip.Chip, chip.Logic, p.LongName)
			}
		}
		switch {
		case !p.MCU.HasBlock():
		case p.Model == fakehost.A3:
			row(id, len(chips), "-", "-", "Mcu")
		default:
			row(id, len(chips), "-", "Mcu")
		}
	}
	return 0
}

// selected resolves -i and -c. chip is -1 when -c was not given.
func (c *call) selected(args []string) (chips []fakehost.Chip, chip int, ok bool) {
	npu, err := strconv.Atoi(option(args, "-i"))
	if err == nil {
		chips = c.chipsOf(npu)
	}
	if len(chips) == 0 {
		c.printf("Invalid card id.\nError parameter of -i\n")
		c.usage()
		return nil, 0, false
	}
	chip = -1
	if text := option(args, "-c"); text != "" {
		if chip, err = strconv.Atoi(text); err != nil || chip < 0 || chip >= len(chips) {
			c.printf("Invalid chip id.\nError parameter of -c\n")
			c.usage()
			return nil, 0, false
		}
	}
	return chips, chip, true
}
