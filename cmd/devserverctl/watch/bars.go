package watch

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/protocol"
)

// Bars draws a line with a progress bar per server and keeps it up to date in
// place, on a terminal.
type Bars struct {
	Out   io.Writer
	Size  func() (width, height int) // of the terminal now
	Style Style

	drawn   int // lines on the screen
	job     client.Job
	trouble string
}

const (
	home  = "\r\x1b[%dA" // up so many lines; ECMA-48 8.3.22
	rest  = "\x1b[K"     // clears the rest of the line
	below = "\x1b[J"     // clears all below
)

// Update draws the job, unless another one follows at once.
func (b *Bars) Update(job client.Job, more bool) {
	b.job, b.trouble = job, ""
	if !more {
		b.draw()
	}
}

// Trouble draws err below the bars.
func (b *Bars) Trouble(err error) {
	b.trouble = err.Error()
	b.draw()
}

// End puts a table of the verdicts in the bars' place.
func (b *Bars) End(job client.Job) {
	b.show(nil)
	WriteTable(b.Out, job, b.Style)
}

func (b *Bars) draw() {
	width, height := b.Size()
	lines := frame(b.job, width, height-1, b.Style)
	if b.trouble != "" {
		lines = append(lines[:min(len(lines), max(height-2, 1))], b.Style.paint(red, cut(b.trouble+"; trying again", width-1)))
	}
	b.show(lines)
}

// show puts lines in the place of those drawn before, in one write, so that
// nothing flickers.
func (b *Bars) show(lines []string) {
	var out bytes.Buffer
	if b.drawn > 0 {
		fmt.Fprintf(&out, home, b.drawn)
	}
	for _, line := range lines {
		out.WriteString(line + rest + "\n")
	}
	out.WriteString(below)
	b.drawn = len(lines)
	b.Out.Write(out.Bytes()) //nolint:errcheck // a terminal that is gone has nobody to tell
}

// frame is one picture of a job, in at most height lines that fit width. With
// more servers than lines those that move are shown and the rest is counted.
func frame(job client.Job, width, height int, style Style) []string {
	tasks := job.Tasks
	lines := []string{cut(fmt.Sprintf("%s  %s  %s", Clean(job.Name), Clean(job.Type), tally(tasks)), width-1)}
	if held := job.Held(); held != "" && height > 2 {
		lines = append(lines, style.paint(yellow, cut("  "+Clean(held), width-1)))
	}
	room := max(height-len(lines), 1)
	left := 0
	if len(tasks) > room {
		room = max(room-1, 1)
		tasks = slices.Clone(tasks)
		slices.SortStableFunc(tasks, func(a, b client.Task) int { return cmp.Compare(rank(a), rank(b)) })
		left = len(tasks) - room
		tasks = tasks[:room]
	}
	wide := nameWidth(tasks)
	for _, t := range tasks {
		lines = append(lines, bar(t, wide, width, style))
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", left))
	}
	return lines
}

func bar(t client.Task, wide, width int, style Style) string {
	percent := min(max(t.Percent, 0), 100)
	if t.Status.Terminal() {
		percent = 100
	}
	long := min(max(width/6, 8), 24)
	full := long * percent / 100
	colour := colourOf(t)
	head := "  " + pad(cut(Clean(t.Server()), wide), wide) + "  "
	tail := fmt.Sprintf(" %3d %%  ", percent) + pad(word(t), 10) + "  "
	message := cut(Clean(t.Message), width-1-textWidth(head)-long-textWidth(tail))
	return head + style.paint(colour, strings.Repeat("█", full)) + style.paint(grey, strings.Repeat("░", long-full)) +
		style.paint(colour, tail) + message
}

// rank puts what moves first, then what failed, then what waits, then what is
// done.
func rank(t client.Task) int {
	switch {
	case t.Status == protocol.Processing && t.Phase != "" && t.Phase != protocol.Accepted && t.Phase != protocol.Queued:
		return 0
	case t.Status == protocol.Failed:
		return 1
	case t.Status == protocol.Processing:
		return 2
	}
	return 3
}

// word is the one word that says how a task stands: its verdict, else its
// phase, else that nobody has taken it yet.
func word(t client.Task) string {
	switch {
	case t.Status != protocol.Processing:
		return Clean(string(t.Status))
	case t.Phase != "":
		return Clean(string(t.Phase))
	}
	return "WAITING"
}

// tally counts tasks by how they stand.
func tally(tasks []client.Task) string {
	counts := map[string]int{}
	for _, t := range tasks {
		counts[word(t)]++
	}
	var parts []string
	for _, w := range []string{"SUCCESS", "FAILED", "DELETE"} {
		if counts[w] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[w], w))
			delete(counts, w)
		}
	}
	open := 0
	for _, n := range counts {
		open += n
	}
	if open > 0 {
		parts = append(parts, fmt.Sprintf("%d open", open))
	}
	return strings.Join(parts, ", ")
}
