package watch

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"devserver-agent/cmd/devserverctl/client"
)

// Lines writes a line for every change of a task, for logs and pipes.
type Lines struct {
	Out io.Writer

	last    map[string]string // by task: what its last line said
	held    string            // what the last line of the job said
	trouble string
}

// Update writes what changed.
func (l *Lines) Update(job client.Job, _ bool) {
	l.trouble = ""
	if l.last == nil {
		l.last = map[string]string{}
	}
	if held := Clean(job.Held()); held != l.held {
		if l.held = held; held == "" {
			held = "goes on"
		}
		fmt.Fprintf(l.Out, "job %s: %s\n", Clean(job.Name), held)
	}
	wide := nameWidth(job.Tasks)
	for _, t := range job.Tasks {
		line := strings.TrimSpace(fmt.Sprintf("%s  %-10s  %s", pad(Clean(t.Server()), wide), word(t), Clean(t.Message)))
		if l.last[t.ID] != line {
			l.last[t.ID] = line
			fmt.Fprintf(l.Out, "%s  %s\n", t.UpdatedAt.Time().Format(time.TimeOnly), line)
		}
	}
}

// Trouble writes err once until the control plane answers again.
func (l *Lines) Trouble(err error) {
	if l.trouble != err.Error() {
		l.trouble = err.Error()
		fmt.Fprintf(l.Out, "%s; trying again\n", l.trouble)
	}
}

// End writes the last changes and a table of the verdicts.
func (l *Lines) End(job client.Job) {
	l.Update(job, false)
	fmt.Fprintln(l.Out)
	WriteTable(l.Out, job, Plain)
}

// JSON writes a line of JSON for every change of a task, {"task":{...}}, and
// the job at the end, {"job":{...}}; each as the API answers it.
type JSON struct {
	Out io.Writer

	last map[string]string
}

// Update writes the tasks that changed.
func (j *JSON) Update(job client.Job, _ bool) {
	if j.last == nil {
		j.last = map[string]string{}
	}
	for _, t := range job.Tasks {
		if text := string(t.Raw); j.last[t.ID] != text {
			j.last[t.ID] = text
			j.write("task", t.Raw)
		}
	}
}

// Trouble writes {"error":"..."}.
func (j *JSON) Trouble(err error) { j.write("error", err.Error()) }

// End writes the job.
func (j *JSON) End(job client.Job) {
	j.Update(job, false)
	j.write("job", job.Raw)
}

func (j *JSON) write(name string, value any) {
	line, err := json.Marshal(map[string]any{name: value})
	if err != nil { // only text that was decoded before comes here
		line = fmt.Appendf(nil, "{\"error\":%q}", err)
	}
	fmt.Fprintf(j.Out, "%s\n", line)
}
