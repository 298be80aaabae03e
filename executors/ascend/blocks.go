package ascend

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// answer is what a `npu-smi info -t TOPIC -i CARD` printed, cut into blocks. The
// tool writes the card and the number of its chips, and then a block for each chip,
// which its id begins on some families and topics and ends on others; a card of a
// 950 is its only chip and names none. A last block may be the MCU's (npucli in
// github hicann/driver, and published captures of releases 22 to 26).
type answer struct {
	chips    []block    // each chip once
	mcus     []block    // none: the answer does not speak of an MCU
	noAnswer []NoAnswer // each chip once, and none of chips
	unnamed  []block    // of no chip, beside blocks that name theirs; none gives trouble
}

// block is what an answer says of one chip.
type block struct {
	chip     int
	named    bool // it gives a chip's id
	mcu      bool // it gives an MCU's name
	nameLast bool // something stands before its name
	fields   []Field
	rows     []string
}

const (
	keyChip = "Chip ID"
	// maxReading bounds the fields of one chip; a topic has some twenty.
	maxReading = 128
	maxRows    = maxProcesses
)

// cutBlocks cuts an answer about a card into blocks. A block ends at a blank line or
// where a key repeats; it belongs to the chip that it names, wherever in it the name
// stands, and a name that stands alone belongs to the block beside it. A block without
// a name is the only chip's of which nothing else is said, if there is just one. Of the
// others one that gives trouble is an error, as nobody could say whose it is, and so is one
// after an MCU's that does. Lines that match row are kept whole.
func cutBlocks(out []byte, card int, row *lazyregexp.Regexp) (answer, error) {
	c := cutter{card: card, chips: -1}
	if err := tooLong(out); err != nil {
		return answer{}, err
	}
	for line := range lines(out) {
		if err := c.take(strings.TrimSpace(line), row); err != nil {
			return answer{}, err
		}
	}
	return c.answer()
}

// answer sorts the blocks.
func (c *cutter) answer() (answer, error) {
	var a answer
	var unnamed, both []*block
	var mcu *block // the latest
	for _, b := range joinNames(c.blocks, c.hasFailed) {
		if b.mcu {
			mcu = b
		}
		switch {
		case b.loose() && mcu != nil && mcu.givesTrouble() && b.like(mcu):
			// Where names lead this is the MCU's block, and that one a chip's.
			return answer{}, fmt.Errorf("has a block after the MCU's that names no chip, and either may be the one that is not healthy (%q)", mcu.quote())
		case b.mcu && b.named:
			both = append(both, b)
		case b.mcu:
			a.mcus = append(a.mcus, *b)
		case !b.named:
			unnamed = append(unnamed, b)
		case b.empty() && c.hasFailed(b.chip): // its sentence follows its id
		default:
			if err := a.add(b); err != nil {
				return answer{}, err
			}
		}
	}
	for _, u := range c.failed {
		if !a.about(u.Chip) {
			a.noAnswer = append(a.noAnswer, u)
		}
	}
	if err := a.addBoth(both, c.chips); err != nil {
		return answer{}, err
	}
	if err := c.addUnnamed(&a, unnamed); err != nil {
		return answer{}, err
	}
	return a, a.count(c.chips, c.failure)
}

func (a *answer) add(b *block) error {
	switch {
	case a.about(b.chip):
		return fmt.Errorf("is about chip %d twice", b.chip)
	case len(a.chips) == maxChips:
		return fmt.Errorf("is about more than %d chips", maxChips)
	}
	chip := *b
	chip.mcu = false
	a.chips = append(a.chips, chip)
	return nil
}

// addBoth adds the blocks that give a chip's id and an MCU's name. They are an MCU's,
// which has an id of its own on some cards, unless a chip were missing then.
func (a *answer) addBoth(both []*block, counted int) error {
	for _, b := range both {
		missing := a.missing(counted) > 0 || counted < 0 && len(a.chips)+len(a.noAnswer) == 0
		if !missing || a.about(b.chip) {
			a.mcus = append(a.mcus, *b)
			continue
		}
		if err := a.add(b); err != nil {
			return err
		}
	}
	return nil
}

// missing is how many chips are counted and not in the answer, 0 if it counts none.
func (a *answer) missing(counted int) int {
	return max(0, counted-len(a.chips)-len(a.noAnswer))
}

func (b *block) empty() bool { return len(b.fields)+len(b.rows) == 0 }

// has reports whether the block has a field of this key.
func (b *block) has(key string) bool {
	return slices.ContainsFunc(b.fields, func(f Field) bool { return f.named(key) })
}

// quote is the text of a block, fit to be shown.
func (b *block) quote() string {
	var text []string
	for _, f := range b.fields {
		text = append(text, f.Key+" : "+f.Value)
	}
	return clip(strings.Join(append(text, b.rows...), " / "), maxSaid)
}

// about reports whether the answer has the chip already.
func (a answer) about(chip int) bool {
	return slices.ContainsFunc(a.chips, func(b block) bool { return b.chip == chip }) ||
		slices.ContainsFunc(a.noAnswer, func(u NoAnswer) bool { return u.Chip == chip })
}

// addUnnamed adds the blocks that name nobody.
func (c *cutter) addUnnamed(a *answer, unnamed []*block) error {
	if len(a.chips) == 0 && len(a.noAnswer) == 0 {
		only, err := c.only(unnamed)
		a.chips = append(a.chips, only)
		return err
	}
	similar := func(b *block) bool { return a.isLikeAChips(b) }
	if a.missing(c.chips) == 1 && len(slices.DeleteFunc(slices.Clone(unnamed), func(b *block) bool { return !similar(b) })) == 1 {
		at := slices.IndexFunc(unnamed, similar)
		b := *unnamed[at]
		b.named = true
		for a.about(b.chip) {
			b.chip++
		}
		a.chips = append(a.chips, b)
		unnamed = slices.Delete(unnamed, at, at+1)
	}
	for _, b := range unnamed {
		if b.givesTrouble() {
			return fmt.Errorf("has a block that names no chip and is not healthy (%q)", b.quote())
		}
		a.unnamed = append(a.unnamed, *b)
	}
	return nil
}

// isLikeAChips reports whether a block says the same things as a block of a chip.
func (a *answer) isLikeAChips(b *block) bool {
	return len(a.chips) == 0 || slices.ContainsFunc(a.chips, func(chip block) bool { return chip.like(b) })
}

// givesTrouble reports whether a block has a health that is not OK, or error codes.
// NA says nothing, as of the MCU in a virtual machine.
func (b *block) givesTrouble() bool {
	return slices.ContainsFunc(b.fields, func(f Field) bool {
		switch {
		case none(f.Value):
			return false
		case f.named("Health"), f.named("Health Status"):
			return !strings.EqualFold(f.Value, string(StateOK))
		}
		return f.named("Error Code")
	})
}

// only is what blocks say that name no chip, in an answer that names none at all:
// they are about the card's only chip.
func (c *cutter) only(unnamed []*block) (block, error) {
	switch {
	case c.chips > 1:
		return block{}, fmt.Errorf("counts %d chips and does not say which one it is about", c.chips)
	case len(unnamed) == 0 && !c.about:
		return block{}, errors.New("says nothing of any chip")
	}
	var only block
	for _, b := range unnamed {
		if key := only.repeats(b); key != "" {
			return block{}, fmt.Errorf("gives %s twice and does not say of which chip", clip(key, maxSaid))
		}
		only.absorb(b)
	}
	return only, nil
}

// count adds the chips that the answer counts and does not mention. A sentence that
// names no chip is about the only one.
func (a *answer) count(chips int, failure string) error {
	if chips > maxChips {
		return fmt.Errorf("counts more than %d chips", maxChips)
	}
	if a.missing(chips) != 1 {
		failure = ""
	}
	for chip := 0; a.missing(chips) > 0; chip++ {
		if !a.about(chip) {
			a.noAnswer = append(a.noAnswer, NoAnswer{Chip: chip, Said: failure})
		}
	}
	return nil
}
