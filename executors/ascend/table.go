package ascend

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// table is a Summary on the way: lines between two rules are a block.
type table struct {
	is     Summary
	titled bool
	header [][]columns // of the blocks that follow, a line each
	block  [][]string  // cells of the lines since the last rule
}

func (t *table) take(line string) error {
	if warning, ok := strings.CutPrefix(line, "[WARNING]"); ok {
		t.is.warn(warning)
		return nil
	}
	if strings.HasPrefix(line, "+") {
		return t.endBlock()
	}
	inner, ok := strings.CutPrefix(line, "|")
	if !ok {
		return nil
	}
	cells := strings.Split(strings.TrimSuffix(inner, "|"), "|")
	if len(cells) == 1 {
		return t.sentence(cells[0])
	}
	if len(t.block) == maxProcesses {
		return fmt.Errorf("has more than %d lines without a rule", maxProcesses)
	}
	t.block = append(t.block, cells)
	return nil
}

// sentence takes in a line without columns: the title, or that a card is idle.
func (t *table) sentence(text string) error {
	tool, ok := strings.CutPrefix(strings.TrimSpace(text), "npu-smi ")
	if !ok {
		return nil
	}
	tool, driver, _ := strings.Cut(tool, "Version:")
	var err, driverErr error
	t.is.Tool, err = version(tool)
	t.is.Driver, driverErr = version(driver)
	t.titled = true
	return errors.Join(err, driverErr)
}

func version(text string) (Version, error) {
	text = strings.TrimSpace(text)
	if none(text) {
		return "", nil
	}
	v, err := ParseVersion(text)
	if err != nil {
		return "", fmt.Errorf("gives %q as version", clip(text, maxSaid))
	}
	return v, nil
}

func (t *table) endBlock() error {
	block := t.block
	t.block = nil
	switch {
	case len(block) == 0:
		return nil
	case strings.HasPrefix(strings.TrimSpace(block[0][0]), "NPU"):
		t.header = nil
		for _, cells := range block {
			var line []columns
			for _, cell := range cells {
				line = append(line, cutHeader(cell))
			}
			t.header = append(t.header, line)
		}
		return nil
	case t.header == nil:
		return errors.New("has lines before a header")
	case len(t.header) == 1:
		for _, cells := range block {
			t.process(cells)
		}
		return nil
	}
	return t.chip(block)
}

// chip takes in the lines of one chip. The first may be missing.
func (t *table) chip(block [][]string) error {
	missing := len(t.header) - len(block)
	if missing < 0 || missing > 1 {
		return fmt.Errorf("has %d lines for a chip under a header of %d", len(block), len(t.header))
	}
	r := row{text: map[string]string{}}
	for i, cells := range block {
		header := t.header[missing+i]
		if len(cells) != len(header) {
			return fmt.Errorf("has a line of %d cells under a header of %d", len(cells), len(header))
		}
		for j, cell := range cells {
			header[j].values(cell, r.text)
		}
	}
	c := r.chip()
	if missing > 0 {
		c.Card, c.Health = NoCard, StateUnknown
	} else if err := r.identify(&c); err != nil {
		return err
	}
	twice := func(other ChipRow) bool { return c.Card != NoCard && other.Card == c.Card && other.Chip == c.Chip }
	switch {
	case r.err != nil:
		return r.err
	case slices.ContainsFunc(t.is.Chips, twice):
		return fmt.Errorf("lists chip %d of NPU %d twice", c.Chip, c.Card)
	case len(t.is.Chips) == maxChips:
		return fmt.Errorf("lists more than %d chips", maxChips)
	}
	t.is.Chips = append(t.is.Chips, c)
	return nil
}

// identify reads what only the first line has.
func (r *row) identify(c *ChipRow) (err error) {
	c.Card = r.number(r.either("NPU", "NPU ID"))
	c.Health, err = parseState(r.text["Health"])
	return err
}

func (r *row) chip() ChipRow {
	c := ChipRow{
		Name: r.value("Name"), Bus: strings.ToLower(r.value("Bus-Id")),
		Logic: r.optional("Device"), Physical: r.optional("Phy-ID"),
		Power: r.measure("Power(W)"), Temperature: r.measure("Temp(C)"), Busy: r.measure(r.either("AICore(%)", "NPU Util(%)")),
		Hugepages: r.usage("Hugepages-Usage(page)"), Memory: r.usage("Memory-Usage(MB)"), HBM: r.usage("HBM-Usage(MB)"),
	}
	if r.has("Chip") {
		c.Chip = r.number("Chip")
	}
	return c
}

// process takes in a row of the second table. Anyone runs a program chooses its
// name, bars and line ends included: a row that makes no sense spoils itself only, and
// one that ends in the name is still a process.
func (t *table) process(cells []string) {
	header := t.header[0]
	if extra := len(cells) - len(header); extra > 0 && len(header) > nameCell {
		name := strings.Join(cells[nameCell:nameCell+extra+1], "|")
		cells = slices.Concat(cells[:nameCell], []string{name}, cells[nameCell+extra+1:])
	}
	r := row{text: map[string]string{}}
	for i := range min(len(cells), len(header)) {
		header[i].values(cells[i], r.text)
	}
	p := Process{Card: r.number(r.either("NPU", "NPU ID")), PID: r.number("Process id"), Name: r.value("Process name")}
	if r.has("Chip") {
		p.Chip = r.number("Chip")
	}
	if r.err != nil || len(t.is.Processes) == maxProcesses {
		t.is.warn("a row of a process cannot be read: " + strings.Join(cells, "|"))
		return
	}
	p.Memory, p.Inside = r.optional("Process memory(MB)"), r.optional("Process id in container")
	t.is.Processes = append(t.is.Processes, p)
}

const nameCell = 2 // of a process
