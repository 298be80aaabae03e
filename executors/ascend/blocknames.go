package ascend

import "slices"

// joinNames joins names that stand alone with the blocks that blank lines part from
// them, and drops the blocks that are joined. Names that lead are joined with what
// follows, others with what is before; what is left then, the other way round.
func joinNames(blocks []*block, failed func(chip int) bool) []*block {
	bare := func(b *block) bool { return (b.named || b.mcu) && b.empty() && !(b.named && failed(b.chip)) }
	leads := namesLead(blocks)
	blocks = joinRows(blocks, leads)
	blocks = shiftNames(blocks, bare)
	for _, after := range []bool{leads, !leads} {
		for i := 0; i < len(blocks); i++ {
			if !bare(blocks[i]) {
				continue
			}
			if after {
				for i+1 < len(blocks) && blocks[i+1].loose() && blocks[i].repeats(blocks[i+1]) == "" {
					blocks[i].absorb(blocks[i+1])
					blocks = slices.Delete(blocks, i+1, i+2)
				}
				continue
			}
			for i > 0 && blocks[i-1].loose() && blocks[i].repeats(blocks[i-1]) == "" {
				blocks[i-1].absorb(blocks[i])
				name := blocks[i]
				blocks[i-1].chip, blocks[i-1].named, blocks[i-1].mcu, blocks[i-1].nameLast = name.chip, name.named, name.mcu, true
				blocks = slices.Delete(blocks, i, i+1)
				i--
			}
		}
	}
	return blocks
}

// namesLead reports whether the first name of an answer stands before what is said.
func namesLead(blocks []*block) bool {
	for i, b := range blocks {
		if b.named || b.mcu {
			return !b.nameLast && (!b.empty() || i == 0)
		}
	}
	return false
}

// loose reports whether a block says something and has no name.
func (b *block) loose() bool { return !b.named && !b.mcu && !b.empty() }

// repeats is a key that both blocks have, "" if there is none.
func (b *block) repeats(other *block) string {
	for _, f := range other.fields {
		if f.Key != "" && b.has(f.Key) {
			return f.Key
		}
	}
	return ""
}

// absorb adds what another block says, within the bounds of one.
func (b *block) absorb(other *block) {
	b.fields = append(b.fields, other.fields[:min(len(other.fields), maxReading-len(b.fields))]...)
	b.rows = append(b.rows, other.rows[:min(len(other.rows), maxRows-len(b.rows))]...)
}

// joinRows joins rows without a name with those of the chip that they are parted from
// by a blank line: of the one before them where names lead, else of the one after.
func joinRows(blocks []*block, leads bool) []*block {
	rows := func(i int) bool {
		return i >= 0 && i < len(blocks) && len(blocks[i].rows) > 0 && len(blocks[i].fields) == 0
	}
	for i := 0; i < len(blocks); i++ {
		switch {
		case !rows(i) || !blocks[i].loose():
		case leads && rows(i-1):
			blocks[i-1].absorb(blocks[i])
			blocks = slices.Delete(blocks, i, i+1)
			i--
		case !leads && rows(i+1):
			after := blocks[i+1]
			blocks[i].absorb(after)
			after.rows = blocks[i].rows
			blocks = slices.Delete(blocks, i, i+1)
			i--
		}
	}
	return blocks
}

// shiftNames mends an answer whose blank lines stand between each name and what it is
// the name of, and not between the blocks: at one end is a name that stands alone, at the
// other a block without one, which says the same things as those between.
func shiftNames(blocks []*block, bare func(*block) bool) []*block {
	for first := range blocks {
		last := first + 1
		for last < len(blocks) && (blocks[last].named || blocks[last].mcu) && !blocks[last].empty() {
			last++
		}
		if last == first+1 || last == len(blocks) {
			continue
		}
		between := blocks[first+1 : last]
		all := func(nameLast bool, loose *block) bool {
			return loose.loose() && !slices.ContainsFunc(between, func(b *block) bool { return b.nameLast != nameLast || !b.like(loose) })
		}
		switch {
		case bare(blocks[first]) && all(true, blocks[last]):
			for i := first; i < last; i++ {
				blocks[i].fields, blocks[i].rows = blocks[i+1].fields, blocks[i+1].rows
			}
			return slices.Delete(blocks, last, last+1)
		case bare(blocks[last]) && all(false, blocks[first]):
			for i := last; i > first; i-- {
				blocks[i].fields, blocks[i].rows = blocks[i-1].fields, blocks[i-1].rows
			}
			return slices.Delete(blocks, first, first+1)
		}
	}
	return blocks
}

// like reports whether a block says the same things as another, of another chip.
func (b *block) like(other *block) bool {
	return b.repeats(other) != "" || len(b.rows) > 0 && len(other.rows) > 0
}
