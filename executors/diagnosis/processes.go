package diagnosis

import (
	"context"
	"fmt"
)

// processes reports who uses the NPUs.
type processes struct{}

func (processes) run(ctx context.Context, p *probe) (string, []Finding) {
	var g grouped
	seen := map[int]bool{}
	for i, a := range p.programs() {
		if a.err != nil {
			f := unanswered(a.err)
			if anySilent(p.cards()[i]) { // the check of healths reports why
				f.Grade, f.Do = Skip, ""
			}
			g.add(a.card, f)
			continue
		}
		chips := len(a.value.Chips) + len(a.value.NoAnswer)
		for _, u := range a.value.NoAnswer {
			f := Finding{Warn, chipName(u.Chip, chips) + noAnswer(u), askChip}
			if p.unknown(p.cards()[i], u.Chip) { // the check of healths reports why
				f.Grade, f.Do = Skip, ""
			}
			g.add(a.card, f)
		}
		for _, process := range a.value.Processes {
			seen[process.PID] = true
			words := fmt.Sprintf("process %d", process.PID)
			if process.Name != "" {
				words += " (" + process.Name + ")"
			}
			if process.Memory != nil {
				words += fmt.Sprintf(" uses %d MB", *process.Memory)
			}
			g.add(a.card, Finding{Grade: Info, What: words})
		}
	}
	found := append(g.findings(), p.noCards()...)
	for _, h := range p.holders() {
		switch {
		case h.Installer != "":
			found = append(found, Finding{Warn, fmt.Sprintf("%s installs %s", h, h.Installer), "Wait for it to end."})
		case !seen[h.PID]:
			found = append(found, Finding{Grade: Info, What: h.String() + " holds NPUs"})
		}
	}
	examined := count(len(p.cards()), "card") + ", /proc, containers"
	containers, err := p.given()
	if err != nil {
		return examined, append(found, Finding{Grade: Skip, What: "containers are not known: " + err.Error()})
	}
	for _, c := range containers {
		found = append(found, Finding{Grade: Info, What: c.String() + " was given NPUs"})
	}
	return examined, found
}
