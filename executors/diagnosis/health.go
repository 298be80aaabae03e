package diagnosis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
)

// health grades what the driver says of each chip's health, and each of its fault
// codes by the class that Huawei puts it in. The management controller of a card is
// judged apart: its trouble does not keep the chips from working.
type health struct{}

const seeHealth = "See npu-smi info -t health on the host and Huawei's list of faults."

func (health) run(_ context.Context, p *probe) (string, []Finding) {
	var g grouped
	for _, card := range p.cards() {
		if card.HealthErr != nil {
			g.add(card.ID, judgeSilentCard(card.HealthErr))
			continue
		}
		for _, chip := range card.Health.Chips {
			for _, f := range judgeHealth(chip) {
				f.What = chipName(chip.Chip, len(card.Health.Chips)) + f.What
				g.add(card.ID, f)
			}
		}
		if mcu := card.Health.MCU; mcu != "" && mcu != ascend.StateOK {
			g.add(card.ID, Finding{Warn, "the health of its management controller (MCU) is " + string(mcu) + "; its chips are judged apart",
				"See the server's management (iBMC) for alarms of the card; the card can work on."})
		}
	}
	return p.examinedCards(), append(g.findings(), append(p.contradictions(), p.noCards()...)...)
}

// contradictions are chips of which npu-smi's table names trouble and the answer about
// their card does not.
func (p *probe) contradictions() []Finding {
	table, err := p.summary()
	if err != nil {
		return nil // the table is no check of its own
	}
	var g grouped
	for _, row := range table.Chips {
		if row.Health == ascend.StateUnknown || !row.Health.WorseThan(ascend.StateOK) {
			continue
		}
		for _, card := range p.cards() {
			at := slices.IndexFunc(card.Health.Chips, func(c ascend.ChipHealth) bool { return c.Chip == row.Chip && c.State == ascend.StateOK })
			if card.ID == row.Card && at >= 0 {
				g.add(card.ID, Finding{Warn, chipName(row.Chip, len(card.Health.Chips)) + fmt.Sprintf("npu-smi info has %s for it, and npu-smi info -t health has OK", row.Health), seeHealth})
			}
		}
	}
	return g.findings()
}

// states grade the driver's own judgement. An alarm is its word for a card that does
// not work as it should.
var states = map[ascend.State]Grade{
	ascend.StateOK: Pass, ascend.StateWarning: Warn, ascend.StateAlarm: Fail, ascend.StateCritical: Fail, ascend.StateUnknown: Warn,
}

// judgeSilentCard grades a card of which no health is known. One that is gone, or that the
// tool tried to ask, does not work as it should.
func judgeSilentCard(err error) Finding {
	switch {
	case errors.Is(err, ascend.ErrNoCard):
		return Finding{Fail, ascend.Reason(err), powerCycle}
	case errors.Is(err, ascend.ErrFailed):
		return Finding{Fail, "its health is not known: " + ascend.Reason(err), askChip}
	}
	return unanswered(err)
}

func judgeHealth(h ascend.ChipHealth) []Finding {
	if h.State == ascend.StateUnknown && len(h.Codes) == 0 {
		return []Finding{unknownHealth(h)}
	}
	var found []Finding
	if h.State == ascend.StateOK && h.Silent != "" {
		found = append(found, Finding{Info, "it answered the second time only: " + strings.TrimSuffix(h.Silent, "."), askChip})
	}
	worst := Pass
	for i, code := range h.Codes {
		fault := ascend.FaultOf(code)
		f := Finding{Grade: classes[fault], What: code, Do: remedies[fault]}
		if i < len(h.Alarms) {
			f.What += " (" + h.Alarms[i] + ")"
		}
		if fault == "" {
			f.What += ", a code that this version does not know"
		} else {
			f.What += ", class " + string(fault)
		}
		worst = worst.Worse(f.Grade)
		found = append(found, f)
	}
	switch {
	case h.State == ascend.StateOK:
	case len(found) == 0:
		what := strings.TrimSuffix("health is "+string(h.State)+": "+strings.Join(h.Alarms, "; "), ": ")
		if why := cmp.Or(h.Detail, h.Silent); why != "" {
			what += ", its codes are not known: " + strings.TrimSuffix(why, ".")
		}
		found = append(found, Finding{states[h.State], what, seeHealth})
	case severity[states[h.State]] > severity[worst]:
		// The driver judges worse than the class: its word counts.
		found[0].Grade = states[h.State]
		found[0].What = string(h.State) + ": " + found[0].What
		if found[0].Do == remedies[ascend.FaultIgnored] {
			found[0].Do = seeHealth
		}
	}
	return found
}

// unknownHealth is about a chip whose health is not known, which is never healthy. One
// that the tool could not ask does not work as it should.
func unknownHealth(h ascend.ChipHealth) Finding {
	if h.Silent != "" {
		return Finding{Fail, "its health is not known: " + strings.TrimSuffix(h.Silent, "."), askChip}
	}
	return Finding{states[ascend.StateUnknown], "its health is not known: " + cmp.Or(h.Detail, "the driver does not give it"), seeHealth}
}

// classes grade the classes of faults; "" is for a code of none.
var classes = map[ascend.Fault]Grade{
	ascend.FaultIgnored: Info, ascend.FaultSubHealth: Warn, ascend.FaultRestartRequest: Warn, ascend.FaultRestartJob: Warn,
	ascend.FaultResetWhenIdle: Fail, ascend.FaultReset: Fail, ascend.FaultIsolate: Fail, "": Warn,
}

// remedies are what Huawei recommends for each class (MindCluster, ascend-device-plugin's
// documentation of fault levels).
var remedies = map[ascend.Fault]string{
	ascend.FaultIgnored:        "Nothing.",
	ascend.FaultSubHealth:      "Watch the card; move long jobs away from it.",
	ascend.FaultRestartRequest: "Send the request again; restart the training job if it ended.",
	ascend.FaultRestartJob:     "Restart the job that ran on the card.",
	ascend.FaultResetWhenIdle:  "When the card is idle, reset it (npu-smi set -t reset) or restart the host.",
	ascend.FaultReset:          "Stop the job, reset the card (npu-smi set -t reset) or restart the host, start the job again.",
	ascend.FaultIsolate:        "Take the card out of use and have it repaired.",
	"":                         "Look the code up in Huawei's list of faults for this HDK version.",
}
