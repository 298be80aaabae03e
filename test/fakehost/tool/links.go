package tool

import (
	"fmt"
	"strings"

	"devserver-agent/test/fakehost"
)

// hccs plays npu-smi info -t hccs: a cell a link. A 310P has counters only.
func (c *call) hccs(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	switch p.HCCS {
	case fakehost.NoLinks:
		c.printf("This device does not support querying hccs.\n")
		return
	case fakehost.LinkCounters:
		for i, key := range []string{"tx packets", "tx bytes", "rx packets", "rx bytes"} {
			c.field("hccs "+key, fmt.Sprintf("[%-20d]", []int{204800, 6553600, 204799, 6553568}[i]))
		}
		return
	}
	const links, gigabitsPerLane = 7, 56
	health, third, bad := "OK", 4, "NA"
	if _, down := c.state.Hits(fakehost.HCCSDown, chips[max(chip, 0)].NPU); down {
		health, third, bad = "NOK", 0, "2"
	}
	cells := func(key string, cell func(lanes int) any) {
		var b strings.Builder
		for i := range links {
			lanes := 4
			if i == 2 {
				lanes = third
			}
			fmt.Fprintf(&b, "%-20v ", cell(lanes))
		}
		c.field("hccs "+key, "["+b.String()+"]")
	}
	c.field("hccs health status", health)
	cells("lane mode", func(lanes int) any { return lanes })
	cells("link lane list", func(lanes int) any { return strings.Repeat("1", lanes) + strings.Repeat("0", 4-lanes) })
	cells("link speed", func(lanes int) any { return lanes * gigabitsPerLane })
	for i, key := range []string{"tx packets", "tx bytes", "rx packets", "rx bytes"} {
		cells(key, func(int) any { return []int{204800, 6553600, 204799, 6553568}[i] })
	}
	cells("retry count", func(int) any { return 0 })
	cells("error count", func(int) any { return 0 })
	c.field("hccs first error lane", bad)
}

// topology prints a fully connected machine.
func (c *call) topology() {
	chips := c.state.Visible()
	c.printf("%-10s", "")
	for _, chip := range chips {
		c.printf("%-10s", label(chip))
	}
	c.printf("%s\n", "CPU Affinity")
	for _, row := range chips {
		c.printf("%-10s", label(row))
		for _, column := range chips {
			switch {
			case row.Logic == column.Logic:
				c.printf("%-10s", "X")
			case row.NPU == column.NPU:
				c.printf("%-10s", "SIO")
			case !c.state.Profile().Server:
				c.printf("%-10s", "PHB")
			default:
				c.printf("%-10s", "HCCS")
			}
		}
		c.printf("%d-%d\n", row.Logic*24, row.Logic*24+23)
	}
}

func label(chip fakehost.Chip) string { return "NPU" + itoa(chip.Logic) }
