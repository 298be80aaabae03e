package hdk

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"devserver-agent/executors/ascend"
)

// report is the view for the item's output: a row for what is installed and for
// each card, and below it everything that was not as it should be, in full.
func report(v view) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i, cell := range cells {
			cells[i] = cmp.Or(cell, "-")
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	row("WHAT", "DRIVER", "FIRMWARE", "COMPATIBLE", "CHIP", "BUS", "PRODUCT")
	row("installed", string(v.driver.version), string(v.firmware.version), "", "", "", "")
	for _, c := range v.cards {
		b := c.board
		row(ascend.NameCards(c.id), string(b.Driver()), string(b.Firmware()), string(b.Compatibility()), string(b.Chip()), b.Bus(), b.Product())
	}
	_ = table.Flush() // a strings.Builder takes everything
	for _, err := range []error{v.err, v.driver.err, v.firmware.err} {
		if err != nil {
			fmt.Fprintln(&text, err)
		}
	}
	for _, c := range v.cards {
		if c.err != nil {
			fmt.Fprintf(&text, "%s: %v\n", ascend.NameCards(c.id), c.err)
		}
	}
	for _, note := range v.notes {
		fmt.Fprintf(&text, "note: %s\n", note)
	}
	return text.String()
}
