package ascend

import (
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// columns are the names in one cell of a header and where each begins. The tools
// write values under the beginning of their names.
type columns []column

type column struct {
	name  string
	begin int // byte offset in the cell
}

// Names and values hold single blanks at most; more blanks, or a tab, part them.
var columnText = lazyregexp.New(`[^ \t]+(?: [^ \t]+)*`)

// slash is written without the blank before it when the figure is long.
var slash = lazyregexp.New(`[ \t]*/[ \t]*`)

func cutHeader(cell string) columns {
	var c columns
	for _, at := range columnText.FindAllStringIndex(cell, -1) {
		c = append(c, column{cell[at[0]:at[1]], at[0]})
	}
	return c
}

// values reads a cell under the header: in their order if there are as many as
// names, else by where they stand, as some are blank. It adds to found.
func (c columns) values(cell string, found map[string]string) {
	if len(c) == 0 {
		return
	}
	whole := slash.ReplaceAllString(cell, "/")
	for _, words := range [][]string{columnText.FindAllString(whole, -1), strings.Fields(whole)} {
		if len(words) == len(c) {
			for i, col := range c {
				found[col.name] = words[i]
			}
			return
		}
	}
	for i, col := range c {
		end := len(cell)
		if i+1 < len(c) {
			end = min(end, c[i+1].begin)
		}
		found[col.name] = slash.ReplaceAllString(strings.TrimSpace(cell[min(col.begin, end):end]), "/")
	}
}
