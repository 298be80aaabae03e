package ascend

import (
	"fmt"
	"slices"
	"strconv"

	"devserver-agent/executors/lazyregexp"
)

// mcuName matches the names of management controllers; a card may have several.
var mcuName = lazyregexp.New(`(?i)^mcu[ _-]?\d*$`)

// namesMCU reports whether a field says that its block is an MCU's: Chip Name on the
// known releases. No other value of a field is that word alone.
func namesMCU(f Field) bool { return mcuName.MatchString(f.Value) }

// cutter is an answer on the way.
type cutter struct {
	card    int
	about   bool // the answer names its card
	chips   int  // as the answer counts them; -1: it does not
	blocks  []*block
	open    *block // nil: the next field begins a block
	mcuLast bool   // of the two names that the open block has, the MCU's came last
	failed  []NoAnswer
	failure string // the first sentence of a failure that names no chip
}

func (c *cutter) take(line string, row *lazyregexp.Regexp) error {
	if line == "" {
		c.open = nil
		return nil
	}
	if row != nil && row.MatchString(line) {
		return c.addRow(line)
	}
	if failed, chip, named := failureOf(line); failed {
		c.fail(line, chip, named)
		return nil
	}
	f, ok := cutField(line, ":")
	switch {
	case !ok || !f.sound():
		return nil
	case f.named(keyCard):
		if f.Value != strconv.Itoa(c.card) {
			return fmt.Errorf("is about card %q, not card %d", clip(f.Value, maxSaid), c.card)
		}
		c.about, c.open = true, nil
		return nil
	case f.named(keyChips):
		n, err := count(f)
		c.chips = n
		return err
	case f.Key == "":
		return c.resume(f)
	}
	return c.add(f)
}

// fail takes in the sentence of a chip that does not answer.
func (c *cutter) fail(line string, chip int, named bool) {
	switch said := clip(line, maxSaid); {
	case !named && c.failure == "" && c.about: // what is before the card is of a library
		c.failure = said
	case named && len(c.failed) < maxChips && !c.hasFailed(chip):
		c.failed = append(c.failed, NoAnswer{chip, said})
	}
	if named {
		c.open = nil
	}
}

// hasFailed reports whether the tool says that it could not ask the chip.
func (c *cutter) hasFailed(chip int) bool {
	return slices.ContainsFunc(c.failed, func(u NoAnswer) bool { return u.Chip == chip })
}

// block is the one that is open, or a new one.
func (c *cutter) block() (*block, error) {
	if c.open == nil {
		if len(c.blocks) == 2*maxChips {
			return nil, fmt.Errorf("has more than %d blocks", 2*maxChips)
		}
		c.open = &block{}
		c.blocks = append(c.blocks, c.open)
	}
	return c.open, nil
}

// addRow takes in a line that is kept whole. After a name that followed rows it is the
// next chip's.
func (c *cutter) addRow(line string) error {
	if c.open != nil && c.open.nameLast && len(c.open.rows) > 0 {
		c.open = nil
	}
	b, err := c.block()
	if err == nil && len(b.rows) == maxRows {
		err = fmt.Errorf("has more than %d rows", maxRows)
	}
	if err == nil {
		b.rows = append(b.rows, line)
	}
	return err
}

// resume takes in a line without a key: one more value of the key before it, after
// a blank line, as npu-smi lists several alarms.
func (c *cutter) resume(f Field) error {
	if len(c.blocks) == 0 {
		return nil
	}
	c.open = c.blocks[len(c.blocks)-1]
	if len(c.open.fields) < maxReading {
		c.open.fields = append(c.open.fields, f)
	}
	return nil
}

func (c *cutter) add(f Field) error {
	ofMCU := namesMCU(f)
	ofChip := f.named(keyChip) && !ofMCU
	var name block // of the next block, which its name began already
	switch {
	case c.open == nil:
	case ofMCU && c.open.mcu, ofChip && c.open.named:
		c.open = nil
	case !ofMCU && !ofChip && c.open.has(f.Key):
		name = c.laterName()
		c.open = nil
	}
	b, err := c.block()
	if err != nil {
		return err
	}
	if name.mcu || name.named {
		*b = name
	}
	switch {
	case ofChip:
		b.nameLast = b.nameLast || !b.empty() && !b.mcu
		b.chip, err = count(f)
		b.named, c.mcuLast = true, false
		return err
	case ofMCU:
		b.nameLast = b.nameLast || !b.empty() && !b.named
		b.mcu, c.mcuLast = true, true
	case len(b.fields) < maxReading:
		b.fields = append(b.fields, f)
	}
	return nil
}

// laterName takes the later of two names from the open block: where a key repeats after
// it without a blank line, it was the next block's.
func (c *cutter) laterName() (name block) {
	b := c.open
	switch {
	case !b.mcu || !b.named:
	case c.mcuLast:
		name.mcu, b.mcu = true, false
	default:
		name.chip, name.named = b.chip, true
		b.chip, b.named = 0, false
	}
	return name
}
