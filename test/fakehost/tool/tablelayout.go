package tool

import (
	"strings"

	"devserver-agent/test/fakehost"
)

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

// Layouts A and D serve chips without HBM, B and C first generation 910s, B before release
// 21.0.4; E and F the 910 family up to 25.x, with one and with two chips an NPU; G those of
// 26.x.
var (
	layoutA = layout{
		cells: [3]int{19, 17, 40}, tool: 28, id: 8, chip: 8, power: 18, used: [2]int{0, 5},
		head: `| NPU     Name      | Health          | Power(W)          Temp(C)              |
| Chip    Device    | Bus-Id          | AICore(%)         Memory-Usage(MB)     |
`,
	}
	layoutB = layout{
		cells: [3]int{22, 15, 45}, tool: 24, id: 6, chip: 6, power: 11, temp: 18, used: [2]int{0, 5},
		head: `| NPU   Name           | Health        | Power(W)   Temp(C)                          |
| Chip                 | Bus-Id        | AICore(%)  Memory-Usage(MB)  HBM-Usage(MB)  |
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
	case p.Layout == fakehost.LayoutC && c.state.Before("21.0.4"):
		l = layoutB
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
