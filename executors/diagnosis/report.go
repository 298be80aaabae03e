package diagnosis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// Grade is the one word for a check or a finding.
type Grade string

// The grades. Skip is for what could not be examined, with the reason.
const (
	Pass Grade = "PASS"
	Info Grade = "INFO"
	Warn Grade = "WARN"
	Fail Grade = "FAIL"
	Skip Grade = "SKIP"
)

// severity orders grades; the worst counts.
var severity = map[Grade]int{Skip: 0, Pass: 1, Info: 2, Warn: 3, Fail: 4}

// Worse is the worse of two grades; anything reported is worse than nothing.
func (g Grade) Worse(h Grade) Grade {
	if severity[h] > severity[g] {
		return h
	}
	return g
}

// Finding is one thing that a check found.
type Finding struct {
	Grade Grade  `json:"grade"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"` // what an operator should do about it
}

// Outcome is what one check found. A check that found nothing passed.
type Outcome struct {
	Check    string    `json:"check"`
	Examined string    `json:"examined,omitempty"` // at what, such as "8 cards"
	Grade    Grade     `json:"grade"`
	Findings []Finding `json:"findings,omitempty"`
	TookMS   int64     `json:"took_ms"`
}

// Bounds of a report, so that it fits where outputs and memos go.
const (
	maxFindings = 24  // of one check
	maxWords    = 400 // bytes of one sentence
)

// NewOutcome is the outcome of a check that found these, the worst first.
func NewOutcome(check string, found ...Finding) Outcome {
	o := Outcome{Check: check, Grade: Pass}
	if len(found) > 0 {
		o.Grade = Skip
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return severity[b.Grade] - severity[a.Grade] })
	for i, f := range found {
		o.Grade = o.Grade.Worse(f.Grade)
		if i == maxFindings {
			o.Findings = append(o.Findings, Finding{Grade: f.Grade, What: fmt.Sprintf("and %d more findings", len(found)-i)})
		}
		if i < maxFindings {
			f.What, f.Do = shorten(f.What), shorten(f.Do)
			o.Findings = append(o.Findings, f)
		}
	}
	return o
}

func shorten(text string) string { return cut(text, maxWords) }

// cut is a text of at most so many bytes.
func cut(text string, limit int) string {
	const dots = "..."
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:max(0, limit-len(dots))], "") + dots
}

// sentence ends a text with a full stop, if a tool's words in it did not.
func sentence(text string) string { return strings.TrimSuffix(text, ".") + "." }

// Report is what a diagnosis found.
type Report struct {
	At    int64 `json:"at"` // when it began; milliseconds since 1970
	Level Level `json:"level"`
	Grade Grade `json:"grade"` // the worst of its checks

	Checks []Outcome `json:"checks"`

	Driver   ascend.Version   `json:"driver,omitempty"` // that runs, by the first card
	Firmware ascend.Version   `json:"firmware,omitempty"`
	Product  string           `json:"product,omitempty"`
	Chips    []ascend.ChipRow `json:"chips,omitempty"` // npu-smi's table
}

// Add takes in what one more check found.
func (r *Report) Add(o Outcome) {
	r.Grade = cmp.Or(r.Grade, Skip).Worse(o.Grade)
	r.Checks = append(r.Checks, o)
}

// order puts the outcomes in the order of the checks.
func (r *Report) order(chosen []entry) {
	at := map[string]int{}
	for i, c := range chosen {
		at[c.name] = i
	}
	slices.SortStableFunc(r.Checks, func(a, b Outcome) int { return at[a.Check] - at[b.Check] })
}

// describe adds what the host said of itself.
func (r *Report) describe(p *probe) {
	if table, err := p.summary(); err == nil {
		r.Chips = table.Chips
	}
	for _, c := range p.cards() {
		if c.Err == nil {
			r.Driver, r.Firmware, r.Product = c.Board.Driver(), c.Board.Firmware(), c.Board.Product()
			return
		}
	}
}

// Message is one line that an operator can act on: how many checks came out how,
// and what failed, or else what is worth a warning.
func (r Report) Message() string {
	count := map[Grade]int{}
	for _, o := range r.Checks {
		count[o.Grade]++
	}
	if count[Fail] > 0 {
		return protocol.Clip(fmt.Sprintf("%d of %d checks failed: %s Nothing was changed.%s%s",
			count[Fail], len(r.Checks), sentence(strings.Join(r.list(Fail), "; ")), r.advice(), also(count)))
	}
	var counts []string
	for _, g := range []Grade{Pass, Info, Warn, Skip} {
		if count[g] > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", g, count[g]))
		}
	}
	said := []string{strings.Join(counts, ", ")}
	if len(counts) == 0 {
		said[0] = "no check was run"
	}
	return protocol.Clip(strings.Join(append(said, r.list(Warn)...), " | "))
}

func also(count map[Grade]int) string {
	if count[Warn] == 0 {
		return ""
	}
	return fmt.Sprintf(" Checks with warnings: %d.", count[Warn])
}

// list has the findings of a grade, each with its check.
func (r Report) list(g Grade) []string {
	var said []string
	for _, o := range r.Checks {
		for _, f := range o.Findings {
			if f.Grade == g {
				said = append(said, o.Check+": "+f.What)
			}
		}
	}
	return said
}

// advice is what to do about what failed, once each.
func (r Report) advice() string {
	var advice []string
	for _, o := range r.Checks {
		for _, f := range o.Findings {
			if f.Grade == Fail && f.Do != "" && !slices.Contains(advice, f.Do) {
				advice = append(advice, f.Do)
			}
		}
	}
	if len(advice) == 0 {
		return ""
	}
	return " " + strings.Join(advice, " ")
}

// Table is the report for people: a line for each check and each finding, with what
// the check examined on its first.
func (r Report) Table() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, o := range r.Checks {
		if len(o.Findings) == 0 {
			fmt.Fprintf(table, "%s\t%s\t%s\t\n", o.Grade, o.Check, o.Examined)
		}
		for i, f := range o.Findings {
			examined := o.Examined
			if i > 0 {
				examined = ""
			}
			said := f.What
			if f.Do != "" {
				said = sentence(said) + " " + f.Do
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Grade, o.Check, examined, said)
		}
	}
	_ = table.Flush() // a strings.Builder takes everything
	return text.String()
}
