package hdk

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"devserver-agent/executors/ascend"
)

// report is the inventory for the item's output: a row for what is installed and
// for each card, and below it everything that was not as it should be, in full.
func report(ok ascend.Inventory) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i, cell := range cells {
			cells[i] = cmp.Or(cell, "-")
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	row("WHAT", "DRIVER", "FIRMWARE", "COMPATIBLE", "CHIP", "BUS", "PRODUCT")
	row("installed", string(ok.Driver.Version), string(ok.Firmware.Version), "", "", "", "")
	for _, c := range ok.Cards {
		b := c.Board
		row(ascend.FormatCards(c.ID), string(b.Driver()), string(b.Firmware()), string(b.Compatibility()), string(b.Chip()), b.Bus(), b.Product())
	}
	_ = table.Flush() // a strings.Builder takes everything
	for _, err := range []error{ok.Err, ok.Driver.Err, ok.Firmware.Err} {
		if err != nil {
			fmt.Fprintln(&text, err)
		}
	}
	for _, c := range ok.Cards {
		if c.Err != nil {
			fmt.Fprintf(&text, "%s: %v\n", ascend.FormatCards(c.ID), c.Err)
		}
	}
	for _, note := range ok.Notes {
		fmt.Fprintf(&text, "note: %s\n", note)
	}
	if ids := ok.IDs(); ids != "" && ok.Family() == "" {
		fmt.Fprintf(&text, "note: the family of these chips is not known: %s\n", ids)
	}
	return text.String()
}
