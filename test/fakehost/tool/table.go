package tool

import (
	"strconv"
	"strings"

	"devserver-agent/test/fakehost"
)

// table prints npu-smi info.
func (c *call) table() {
	if c.state.Profile().Layout == fakehost.LayoutH {
		c.tableOfCards()
		return
	}
	l := c.layout()
	chips := c.state.Visible()
	version := c.state.Running().Driver
	if len(chips) > 0 {
		version = chips[0].Running.Driver
	}
	title := pad(pad(" npu-smi "+c.state.Installed.Driver, 9+l.tool)+" Version: "+version, l.inner())
	c.printf("%s|%s|\n%s%s%s", rule("-", l.inner()), title, rule("-", l.cells[:]...), l.head, rule("=", l.cells[:]...))
	for i, chip := range chips {
		c.rows(l, chip)
		switch {
		case i+1 < len(chips) && chips[i+1].NPU == chip.NPU && c.state.Profile().HBM > 0:
			c.printf("%s", rule("-", l.inner()))
		case i+1 < len(chips) && chips[i+1].NPU == chip.NPU:
			c.printf("%s", rule("-", l.cells[:]...))
		default:
			c.printf("%s", rule("=", l.cells[:]...))
		}
	}
	if l.process != "" {
		c.processes(l)
	}
	if c.state.NewGeneration() && !c.state.Complete {
		c.printf("[WARNING]The driver package may not be completely installed, which may cause function abnormal. Please reinstall it.\n")
	}
}

// rows prints the two lines of a chip.
func (c *call) rows(l layout, chip fakehost.Chip) {
	p, r := c.state.Profile(), c.reading(chip)
	first := pad(itoa(chip.NPU), l.id) + p.Name
	second := itoa(chip.Chip)
	if p.Chips > 1 || p.HBM == 0 {
		second = pad(second, l.chip) + itoa(chip.Logic)
	}
	pages := pad(itoa(r.pages), l.used[0]) + "/ " + itoa(r.pages)
	usage := pad(itoa(r.ddr), l.used[1]) + "/ " + itoa(p.DDR)
	if p.HBM > 0 {
		usage = pad(usage, l.temp) + pad(itoa(r.hbm), l.used[1]) + "/ " + itoa(p.HBM)
	}
	if l.used[0] == 0 {
		pages = "" // a release before huge pages were told
	}
	c.line(l.cells[:], first, c.healthOf(chip), pad(r.power, l.power)+pad(itoa(r.temperature), l.temp)+pages)
	c.line(l.cells[:], second, c.busOf(chip), pad(itoa(r.core), l.power)+usage)
}

// tableOfCards prints layout H, of a 950: a card is a chip and has one id. Only the first
// rules are parted where the cells are; the others are those of layout G.
func (c *call) tableOfCards() {
	cells, below := []int{8, 18, 15, 70}, []int{27, 15, 70}
	const inner = 8 + 18 + 15 + 70 + 3
	p, version := c.state.Profile(), c.state.Running().Driver
	title := pad(pad(" npu-smi "+c.state.Installed.Driver, 9+40)+" Version: "+version, inner)
	c.printf("%s|%s|\n%s", rule("-", inner), title, rule("-", cells...))
	c.line(cells, "NPU ID", "Name", "Health", "Power(W)              Temp(C)                  Hugepages-Usage(page)")
	c.line(cells, "", "", "Bus-Id", "NPU Util(%)           Memory-Usage(MB)         HBM-Usage(MB)")
	c.printf("%s", rule("=", cells...))
	for _, chip := range c.state.Visible() {
		r := c.reading(chip)
		c.line(cells, itoa(chip.NPU), p.Name, c.healthOf(chip), pad(r.power, 22)+pad(itoa(r.temperature), 25)+pad(itoa(r.pages), 6)+"/ "+itoa(r.pages))
		c.line(cells, "", "", c.busOf(chip), pad(itoa(r.core), 22)+pad(pad(itoa(r.ddr), 6)+"/ "+itoa(p.DDR), 25)+pad(itoa(r.hbm), 6)+"/ "+itoa(p.HBM))
		c.printf("%s", rule("=", below...))
	}
	c.processes(layout{
		cells:   [3]int(below),
		process: "| NPU ID                    | Process id    | Process name       | Process memory(MB)    | Process id in container |\n",
		columns: []int{27, 15, 20, 23, 25},
	})
}

// healthOf is a chip's health in the table: one that does not answer is unknown there, with
// zeros for readings.
func (c *call) healthOf(chip fakehost.Chip) string {
	if c.silent(chip) {
		return string(fakehost.Unknown)
	}
	return string(chip.Health)
}

// busOf is where a chip is on PCI; one on UB is nowhere there.
func (c *call) busOf(chip fakehost.Chip) string {
	if _, unknown := c.state.Fault(fakehost.FamilyUnknown); unknown {
		return "NA"
	}
	return chip.BusID
}

func (c *call) processes(l layout) {
	c.printf("%s%s%s", rule("-", l.cells[:]...), l.process, rule("=", l.cells[:]...))
	for _, npu := range c.cards() {
		found := false
		for _, p := range c.state.Processes() {
			if p.NPU != npu {
				continue
			}
			found = true
			whose := pad(itoa(npu), 8) + itoa(p.Chip)
			if c.state.Profile().CardsOnly {
				whose = itoa(npu)
			}
			cells := []string{whose, itoa(p.PID), p.Name, itoa(p.Memory)}
			if len(l.columns) > len(cells) {
				inside := "NA"
				if p.Container != "" {
					inside = "311"
				}
				cells = append(cells, inside)
			}
			c.line(l.columns, cells...)
		}
		if !found {
			c.printf("|%s|\n", pad(" No running processes found in NPU "+itoa(npu), l.inner()))
		}
		c.printf("%s", rule("=", l.cells[:]...))
	}
}

// line prints cells, each with a leading blank, at these widths between bars.
func (c *call) line(widths []int, cells ...string) {
	for i, w := range widths {
		c.printf("|%s", pad(" "+cells[i], w))
	}
	c.printf("|\n")
}

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-len(s))) }

func itoa(n int) string { return strconv.Itoa(n) }
