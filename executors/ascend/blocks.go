package ascend

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
}

// block is what an answer says of one chip.
type block struct {
	chip   int
	named  bool // it gives a chip's id
	mcu    bool
	fields []Field
	rows   []string
}

// NoAnswer is a chip that the driver counts and says nothing of.
type NoAnswer struct {
	Chip int    `json:"chip"`
	Said string `json:"said,omitempty"` // the tool's sentence; "" for a chip that is counted and not mentioned
}

func anySaid(chips []NoAnswer) bool {
	return slices.ContainsFunc(chips, func(u NoAnswer) bool { return u.Said != "" })
}

const (
	keyChip     = "Chip ID"
	keyChipName = "Chip Name"
	// maxReading bounds the fields of one chip; a topic has some twenty.
	maxReading = 128
	maxRows    = maxProcesses
)

// mcuName matches the names of management controllers; a card may have several.
var mcuName = regexp.MustCompile(`(?i)^mcu[ _-]?\d*$`)

// noAnswerLine matches the line that npu-smi prints in the place of a chip's block when
// the chip does not answer. On most families the exit status is 0 all the same.
var noAnswerLine = regexp.MustCompile(`(?i)^failed to (?:query|get) .{0,60}chip\D{0,4}(\d{1,5})\b`)

// cutBlocks cuts an answer about a card into blocks. A block ends at a blank line or
// where a key repeats; it belongs to the chip that it names, wherever in it the name
// stands. A block without a name is ignored, unless no block names a chip: then
// they are the card's only chip's. Lines that match row are kept whole.
func cutBlocks(out []byte, card int, row *regexp.Regexp) (answer, error) {
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

// cutter is an answer on the way.
type cutter struct {
	card   int
	about  bool // the answer names its card
	chips  int  // as the answer counts them; -1: it does not
	blocks []*block
	open   *block // nil: the next field begins a block
	failed []NoAnswer
}

func (c *cutter) take(line string, row *regexp.Regexp) error {
	if line == "" {
		c.open = nil
		return nil
	}
	if match := noAnswerLine.FindStringSubmatch(line); match != nil {
		chip, _ := strconv.Atoi(match[1]) // five digits
		c.open = nil
		if len(c.failed) < maxChips {
			c.failed = append(c.failed, NoAnswer{chip, clip(line, maxSaid)})
		}
		return nil
	}
	if row != nil && row.MatchString(line) {
		b, err := c.block()
		if err == nil && len(b.rows) == maxRows {
			err = fmt.Errorf("has more than %d rows", maxRows)
		}
		if err == nil {
			b.rows = append(b.rows, line)
		}
		return err
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
	ofMCU := f.named(keyChipName) && mcuName.MatchString(f.Value)
	if c.open != nil && (c.open.has(f.Key) || c.open.named && ofMCU || c.open.mcu && f.named(keyChip)) {
		c.open = nil // a block has one name
	}
	b, err := c.block()
	switch {
	case err != nil:
		return err
	case f.named(keyChip):
		b.chip, err = count(f)
		b.named = true
		return err
	case ofMCU:
		b.mcu = true
	case len(b.fields) < maxReading:
		b.fields = append(b.fields, f)
	}
	return nil
}

func (b *block) has(key string) bool {
	return strings.EqualFold(key, keyChip) && b.named || slices.ContainsFunc(b.fields, func(f Field) bool { return f.named(key) })
}

// answer sorts the blocks.
func (c *cutter) answer() (answer, error) {
	var a answer
	var unnamed []*block
	for _, b := range c.blocks {
		switch {
		case b.mcu:
			a.mcus = append(a.mcus, *b)
		case !b.named:
			unnamed = append(unnamed, b)
		case b.empty() && c.hasFailed(b.chip): // its sentence follows its id
		case a.about(b.chip):
			return answer{}, fmt.Errorf("is about chip %d twice", b.chip)
		case len(a.chips) == maxChips:
			return answer{}, fmt.Errorf("is about more than %d chips", maxChips)
		default:
			a.chips = append(a.chips, *b)
		}
	}
	for _, u := range c.failed {
		if !a.about(u.Chip) {
			a.noAnswer = append(a.noAnswer, u)
		}
	}
	if len(a.chips) == 0 && len(a.noAnswer) == 0 {
		only, err := c.only(unnamed)
		if err != nil {
			return answer{}, err
		}
		a.chips = append(a.chips, only)
	}
	return a, a.count(c.chips)
}

func (b *block) empty() bool { return len(b.fields)+len(b.rows) == 0 }

// hasFailed reports whether the tool says that it could not ask the chip.
func (c *cutter) hasFailed(chip int) bool {
	return slices.ContainsFunc(c.failed, func(u NoAnswer) bool { return u.Chip == chip })
}

// about reports whether the answer has the chip already.
func (a answer) about(chip int) bool {
	return slices.ContainsFunc(a.chips, func(b block) bool { return b.chip == chip }) ||
		slices.ContainsFunc(a.noAnswer, func(u NoAnswer) bool { return u.Chip == chip })
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
		for _, f := range b.fields {
			if f.Key != "" && only.has(f.Key) {
				return block{}, fmt.Errorf("gives %s twice and does not say of which chip", clip(f.Key, maxSaid))
			}
			only.fields = append(only.fields, f)
		}
		only.rows = append(only.rows, b.rows...)
	}
	return only, nil
}

// count adds the chips that the answer counts and does not mention.
func (a *answer) count(chips int) error {
	if chips > maxChips {
		return fmt.Errorf("counts more than %d chips", maxChips)
	}
	for chip := 0; chip < chips && len(a.chips)+len(a.noAnswer) < chips; chip++ {
		if !a.about(chip) {
			a.noAnswer = append(a.noAnswer, NoAnswer{Chip: chip})
		}
	}
	return nil
}
