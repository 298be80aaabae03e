package diagnosis

import (
	"fmt"
	"slices"

	"devserver-agent/executors/ascend"
)

// grouped says once what several cards have in common. The zero value has nothing.
type grouped struct {
	order []Finding
	cards map[Finding][]int
}

// add adds a finding about a card.
func (g *grouped) add(card int, f Finding) {
	if g.cards == nil {
		g.cards = map[Finding][]int{}
	}
	if g.cards[f] == nil {
		g.order = append(g.order, f)
	}
	if !slices.Contains(g.cards[f], card) {
		g.cards[f] = append(g.cards[f], card)
	}
}

// findings name the cards that each is about.
func (g *grouped) findings() []Finding {
	var all []Finding
	for _, f := range g.order {
		f.What = ascend.FormatCards(g.cards[f]...) + ": " + f.What
		all = append(all, f)
	}
	return all
}

// judge judges each chip by what npu-smi says of it on a topic. A chip that the tool
// could not ask is reported with the tool's sentence; where the check of healths does
// that, it is no trouble of its own here.
func (p *probe) judge(cards []answer[ascend.Readings], judge func(card int, chip ascend.Reading) []Finding) []Finding {
	var g grouped
	for i, a := range cards {
		if a.err != nil {
			g.add(a.card, unanswered(a.err))
			continue
		}
		chips := len(a.value.Chips) + len(a.value.NoAnswer)
		zeros := false // npu-smi prints them for a chip that it could not ask, and for those behind it
		for _, chip := range a.value.Chips {
			if said := p.silent(p.cards()[i], chip.Chip); said != "" {
				zeros = true
				g.add(a.card, Finding{Grade: Skip, What: chipName(chip.Chip, chips) + noAnswer(ascend.NoAnswer{Said: said})})
				continue
			}
			if zeros && !hasFigure(chip) {
				g.add(a.card, Finding{Grade: Skip, What: chipName(chip.Chip, chips) + "npu-smi gives no figures behind a chip that it could not ask"})
				continue
			}
			for _, f := range judge(a.card, chip) {
				f.What = chipName(chip.Chip, chips) + f.What
				g.add(a.card, f)
			}
		}
		for _, u := range a.value.NoAnswer {
			f := Finding{Warn, chipName(u.Chip, chips) + noAnswer(u), askChip}
			if p.unknown(p.cards()[i], u.Chip) {
				f.Grade, f.Do = Skip, ""
			}
			g.add(a.card, f)
		}
	}
	return append(g.findings(), p.noCards()...)
}

// hasFigure reports whether a figure of the chip is not zero.
func hasFigure(chip ascend.Reading) bool {
	return slices.ContainsFunc(chip.Fields, func(f ascend.Field) bool {
		figure, err := chip.Figure(f.Key)
		return err == nil && figure != nil && *figure != 0
	})
}

// silent is the tool's sentence about a chip that it could not ask for its health, "" for
// any other chip.
func (p *probe) silent(card ascend.CardReport, chip int) string {
	for _, c := range card.Health.Chips {
		if c.Chip == chip && c.State == ascend.StateUnknown {
			return c.Silent
		}
	}
	return ""
}

// anySilent reports whether the tool could not ask a chip of the card.
func anySilent(card ascend.CardReport) bool {
	return slices.ContainsFunc(card.Health.Chips, func(c ascend.ChipHealth) bool { return c.State == ascend.StateUnknown && c.Silent != "" })
}

const askChip = "Ask again; if the chip stays silent, see dmesg, and restart the host when its work allows."

func noAnswer(u ascend.NoAnswer) string {
	if u.Said == "" {
		return "npu-smi says nothing of it"
	}
	return "npu-smi could not ask it: " + u.Said
}

// unknown reports whether the health of a chip is not known.
func (p *probe) unknown(card ascend.CardReport, chip int) bool {
	return slices.ContainsFunc(card.Health.Chips, func(c ascend.ChipHealth) bool {
		return c.Chip == chip && c.State == ascend.StateUnknown
	})
}

// chipName is a chip's name after its card's, "" where a card has one chip.
func chipName(chip, chips int) string {
	if chips < 2 {
		return ""
	}
	return fmt.Sprintf("chip %d: ", chip)
}
