package watch

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/protocol"
)

// Style says whether text may be coloured.
type Style bool

// The styles.
const (
	Plain    Style = false
	Coloured Style = true
)

// A colour of ECMA-48's SGR.
type colour string

const (
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
	grey   colour = "90"
)

func (s Style) paint(c colour, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func colourOf(t client.Task) colour {
	switch {
	case t.Status == protocol.Success && t.Code != "":
		return yellow // done, and something is left to do
	case t.Status == protocol.Success:
		return green
	case t.Status == protocol.Failed:
		return red
	case t.Status == protocol.Deleted:
		return yellow
	}
	return cyan
}

// Clean makes one harmless line of text that came from a host: what would move
// the cursor or colour the terminal becomes a space.
func Clean(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?")))
}

// textWidth is how many columns text takes; East Asian wide characters take two
// (Unicode annex 11).
func textWidth(text string) int {
	n := 0
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
		return 0
	}
	return 1
}

// cut shortens text to columns and marks that it did.
func cut(text string, columns int) string {
	if textWidth(text) <= columns {
		return text
	}
	var out strings.Builder
	left := columns - 1
	for _, r := range text {
		if left -= runeWidth(r); left < 0 {
			break
		}
		out.WriteRune(r)
	}
	if columns < 1 {
		return ""
	}
	return out.String() + "…"
}

// pad fills text up to columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(columns-textWidth(text), 0))
}

// nameWidth is the width of the widest server's name, at most 40.
func nameWidth(tasks []client.Task) int {
	wide := 0
	for _, t := range tasks {
		wide = max(wide, textWidth(Clean(t.Server())))
	}
	return min(wide, 40)
}
