package tool

import (
	"strconv"
	"strings"

	"devserver-agent/test/fakehost"
)

// reading is what a chip's sensors say.
type reading struct {
	power       string
	temperature int
	core        int // percent
	pages       int // huge pages in use, all of them
	ddr, hbm    int // MB in use
}

// reading makes up steady figures: an idle chip, a chip in use, and zeros for a chip
// in trouble.
func (c *call) reading(chip fakehost.Chip) reading {
	p := c.state.Profile()
	r := reading{power: "91.5", temperature: 41 + chip.Logic%4, hbm: 3311 + chip.Logic}
	if p.HBM > 0 && p.DDR > 0 {
		r.ddr = 938 + chip.Logic
	}
	if p.HBM == 0 {
		r = reading{power: "NA", temperature: 44, ddr: 1701 + chip.Logic}
	}
	if p.Layout == fakehost.LayoutA {
		r.power = "12.8"
	}
	if p.Model == fakehost.A3 {
		r = reading{power: "171.4", temperature: 35 - chip.Chip, hbm: 3402 - 212*chip.Chip}
		if chip.Chip > 0 {
			r.power = "-"
		}
	}
	if c.silent(chip) || chip.Health == fakehost.Alarm || chip.Health == fakehost.Critical || chip.Health == fakehost.Unknown {
		r = reading{power: "0.0"}
	}
	for _, process := range c.state.Processes() {
		if process.NPU == chip.NPU && process.Chip == chip.Chip {
			r.core, r.pages, r.temperature = 87, 15, 58
			r.hbm = min(p.HBM, r.hbm+process.Memory)
			if p.HBM == 0 {
				r.ddr = min(p.DDR, r.ddr+process.Memory)
			}
		}
	}
	if args, held := c.state.Hits(fakehost.MemoryHeld, chip.NPU); held {
		r.core = args.Int("cores", 0)
		if p.HBM > 0 {
			r.hbm = p.HBM*args.Int("percent", 89)/100 + 1
		} else {
			r.ddr = p.DDR*args.Int("percent", 89)/100 + 1
		}
	}
	if args, hot := c.state.Hits(fakehost.CardHot, chip.NPU); hot && chip.Chip == args.Int("chip", chip.Chip) {
		r.temperature = args.Int("celsius", 98)
	}
	return r
}

// layout is one generation of the info table: three cells with these widths between
// the bars, and how wide the fields in them are.
type layout struct {
	cells    [3]int
	tool     int    // width of the tool's version
	head     string // the two lines of the header, and the process table's
	id, chip int    // width of the NPU id and, in the second line, of the chip id
	power    int
	temp     int
	used     [2]int // width of what is used, of huge pages and of memory
	process  string
	columns  []int // of the process table
}

// Layouts A and D serve chips without HBM, C first generation 910s, E and F the 910
// family up to 25.x, with one and with two chips an NPU; G those of 26.x.
var (
	layoutA = layout{
		cells: [3]int{19, 17, 40}, tool: 28, id: 8, chip: 8, power: 18, used: [2]int{0, 5},
		head: `| NPU     Name      | Health          | Power(W)          Temp(C)              |
| Chip    Device    | Bus-Id          | AICore(%)         Memory-Usage(MB)     |
`,
	}
	layoutC = layout{
		cells: [3]int{22, 15, 52}, tool: 24, id: 6, chip: 6, power: 12, temp: 18, used: [2]int{5, 5},
		head: `| NPU   Name           | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                 | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
`,
		process: "| NPU     Chip         | Process id    | Process name             | Process memory(MB)      |\n",
		columns: []int{22, 15, 26, 25},
	}
	layoutD = layout{
		cells: [3]int{31, 17, 54}, tool: 32, id: 8, chip: 8, power: 13, temp: 18, used: [2]int{6, 5},
		head: `| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
`,
		process: "| NPU     Chip                  | Process id      | Process name             | Process memory(MB)        |\n",
		columns: []int{31, 17, 26, 27},
	}
	layoutE = layout{
		cells: [3]int{27, 15, 52}, tool: 24, id: 6, chip: 6, power: 12, temp: 18, used: [2]int{5, 5},
		head: `| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
`,
		process: "| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |\n",
		columns: []int{27, 15, 26, 25},
	}
	layoutG = layout{
		cells: [3]int{27, 15, 70}, tool: 35, id: 6, chip: 6, power: 21, temp: 24, used: [2]int{5, 5},
		head: `| NPU   Name                | Health        | Power(W)             Temp(C)                 Hugepages-Usage(page)   |
| Chip                      | Bus-Id        | AICore(%)            Memory-Usage(MB)        HBM-Usage(MB)           |
`,
		process: "| NPU     Chip              | Process id    | Process name       | Process memory(MB)    | Process id in container |\n",
		columns: []int{27, 15, 20, 23, 25},
	}
)

func (c *call) layout() layout {
	p := c.state.Profile()
	l := layoutE
	switch {
	case p.Layout == fakehost.LayoutA:
		return layoutA
	case p.Layout == fakehost.LayoutD:
		return layoutD
	case p.Layout == fakehost.LayoutC:
		l = layoutC
	case c.state.NewGeneration():
		l = layoutG
	}
	if p.Chips > 1 {
		l.head = strings.Replace(l.head, "| Chip        ", "| Chip  Phy-ID", 1)
	}
	return l
}

// rule is a line of fill between pluses; without widths it runs through.
func rule(fill string, widths ...int) string {
	var b strings.Builder
	for _, w := range widths {
		b.WriteString("+" + strings.Repeat(fill, w))
	}
	return b.String() + "+\n"
}

func (l layout) inner() int { return l.cells[0] + l.cells[1] + l.cells[2] + 2 }

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
