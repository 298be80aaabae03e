package watch

import (
	"fmt"
	"io"
	"strings"
	"time"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/protocol"
)

// WriteTable writes a line per task with its verdict, for one that failed what to do
// unless its message says it already, and a summary of the job.
func WriteTable(out io.Writer, job client.Job, style Style) {
	wide := max(nameWidth(job.Tasks), len("SERVER"))
	fmt.Fprintf(out, "%s  %-10s  %6s  MESSAGE\n", pad("SERVER", wide), "STATUS", "TOOK")
	indent := strings.Repeat(" ", wide+2+10+2+6+2)
	for _, t := range job.Tasks {
		fmt.Fprintf(out, "%s  %s  %6s  ", pad(cut(Clean(t.Server()), wide), wide), style.paint(colourOf(t), pad(word(t), 10)), took(t))
		text := t.Message
		if t.Code != "" {
			text = strings.TrimSuffix(string(t.Code)+": "+text, ": ")
		}
		if remedy := protocol.Beside(t.Message, t.Remedy); remedy != "" && t.Status.Terminal() {
			text += "\n-> " + remedy
		}
		for i, line := range strings.Split(text, "\n") {
			if i > 0 {
				fmt.Fprint(out, indent)
			}
			fmt.Fprintln(out, Clean(line))
		}
	}
	fmt.Fprintf(out, "\njob %s (%s) is %s: %s\n", Clean(job.Name), job.ID, job.Status, tally(job.Tasks))
	if job.Message != "" {
		fmt.Fprintln(out, Clean(job.Message))
	}
}

// took is the time from a task's creation to its last change, as the control
// plane saw it.
func took(t client.Task) string {
	if t.CreatedAt == 0 || t.UpdatedAt < t.CreatedAt {
		return ""
	}
	d := time.Duration(t.UpdatedAt-t.CreatedAt) * time.Millisecond
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}
