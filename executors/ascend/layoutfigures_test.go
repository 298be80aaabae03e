package ascend

import (
	"fmt"
	"strconv"
	"strings"
)

// figures are what a parser read of an answer, in the form of the layouts: a line each.
type figures []string

func (f *figures) add(words ...string) {
	var said []string
	for _, word := range words {
		if word != "" {
			said = append(said, word)
		}
	}
	*f = append(*f, strings.Join(said, " "))
}

// text is a key and its value, "" for a value that is not reported.
func text[T any](key string, value *T) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(key, " ", *value)
}

func said(key string, value any) string {
	if word := fmt.Sprint(value); word != "" {
		return key + " " + word
	}
	return ""
}

func usage(key string, u *Usage) string {
	if u == nil {
		return ""
	}
	return fmt.Sprintf("%s %d/%d", key, u.Used, u.Total)
}

// figuresOf reads an answer with the parser of its question, and is what the parser read.
func figuresOf(line string, answer []byte) (string, error) {
	words := strings.Fields(line)
	if words[0] == "hccn_tool" {
		return joined(ofPort(line, answer))
	}
	switch line {
	case "npu-smi info":
		return joined(ofSummary(answer))
	case "npu-smi info -l":
		return joined(ofCards(answer))
	case "npu-smi info -m":
		return joined(ofMapping(answer))
	case "npu-smi info -t topo":
		return joined(ofTopology(answer))
	}
	card, err := strconv.Atoi(words[5])
	if err != nil {
		return "", err
	}
	switch topic := words[3]; topic {
	case "board":
		return joined(ofBoard(answer, card))
	case "health":
		return joined(ofHealth(answer, card, strings.Contains(line, " -c ")))
	case "proc-mem":
		return joined(ofProcesses(answer, card))
	case "hccs":
		return joined(ofHCCS(answer))
	default:
		return joined(ofReadings(Topic(topic), answer, card))
	}
}

func joined(f figures, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return strings.Join(f, "\n") + "\n", nil
}

func ofSummary(answer []byte) (f figures, err error) {
	t, err := ParseSummary(answer)
	f.add(said("tool", t.Tool), said("driver", t.Driver))
	for _, c := range t.Chips {
		f.add(fmt.Sprintf("%d/%d", c.Card, c.Chip), c.Name, string(c.Health), c.Bus, text("logic", c.Logic), text("physical", c.Physical),
			text("power", c.Power), text("temperature", c.Temperature), text("busy", c.Busy), usage("memory", c.Memory), usage("HBM", c.HBM))
	}
	f.processes(t.Processes)
	for _, w := range t.Warnings {
		f.add("warning", w)
	}
	return f, err
}

func (f *figures) processes(all []Process) {
	for _, p := range all {
		f.add(fmt.Sprintf("process %d/%d %d", p.Card, p.Chip, p.PID), p.Name, text("memory", p.Memory), text("inside", p.Inside))
	}
}

func ofCards(answer []byte) (f figures, err error) {
	list, err := ParseCards(answer)
	for _, c := range list.Cards {
		f.add(fmt.Sprint("card ", c.ID), fmt.Sprint("chips ", c.ChipCount()), said("product", c.Product), said("serial", c.Serial))
	}
	return f, err
}

func ofMapping(answer []byte) (f figures, err error) {
	mapping, err := ParseMapping(answer)
	for _, c := range mapping {
		f.add(fmt.Sprintf("%d/%d", c.Card, c.Chip), text("logic", c.Logic), text("physical", c.Physical), text("slot", c.Slot), c.Name)
	}
	return f, err
}

func ofTopology(answer []byte) (f figures, err error) {
	t, err := ParseTopology(answer)
	for i, chip := range t.Chips {
		f.add(chip, strings.Join(t.Links[i], " "))
	}
	return f, err
}

func ofBoard(answer []byte, card int) (f figures, err error) {
	b, err := ParseBoard(answer, card)
	f.add(said("driver", b.Driver()))
	f.add(said("firmware", b.Firmware()))
	for _, given := range []string{said("compatibility", b.Compatibility()), said("product", b.Product()), said("serial", b.Serial()),
		said("bus", b.Bus()), said("family", b.Chip())} {
		if given != "" {
			f.add(given)
		}
	}
	f.add(fmt.Sprint("chips ", b.Chips()))
	return f, err
}

func ofHealth(answer []byte, card int, ofChip bool) (f figures, err error) {
	var h Health
	if ofChip {
		var one ChipHealth
		one, err = ParseHealth(answer)
		f.health("this chip", one)
	} else {
		h, err = ParseCardHealth(answer, card)
	}
	for _, c := range h.Chips {
		f.health(fmt.Sprint("chip ", c.Chip), c)
	}
	if h.MCU != "" {
		f.add("MCU", string(h.MCU))
	}
	return f, err
}

func (f *figures) health(chip string, c ChipHealth) {
	f.add(chip, string(c.State), strings.Join(c.Codes, " "), c.Silent, c.Detail)
	for _, alarm := range c.Alarms {
		f.add("alarm", alarm)
	}
}

func ofProcesses(answer []byte, card int) (f figures, err error) {
	all, err := ParseProcesses(answer, card)
	f.processes(all.Processes)
	if len(all.Processes) == 0 {
		f.add("no process")
	}
	return f, err
}

func ofHCCS(answer []byte) (f figures, err error) {
	h, err := ParseHCCS(answer)
	if h.Judged {
		f.add("healthy", fmt.Sprint(h.Healthy))
		f.add("lanes", strings.Trim(fmt.Sprint(h.Lanes), "[]"))
	}
	for _, field := range h.Fields {
		if field.named("hccs rx packets") {
			f.add("rx packets", strings.Join(strings.Fields(strings.Trim(field.Value, "[]")), " "))
		}
	}
	return f, err
}

// readable are the figures of a topic, and the keys that families have for them.
var readable = map[Topic][][]string{
	TopicCommon: {{"temperature", "Temperature(C)"}, {"AI cores", "Aicore Usage Rate(%)"}, {"memory", "Memory Usage Rate(%)"},
		{"HBM", "HBM Usage Rate(%)"}, {"power", "NPU Real-time Power(W)", "Rated Power Dissipation(W)", "Power Dissipation(W)"}},
	"usages": {{"AI cores", "Aicore Usage Rate(%)"}, {"memory", "Memory Usage Rate(%)", "DDR Usage Rate(%)"}, {"HBM", "HBM Usage Rate(%)"},
		{"capacity", "HBM Capacity(MB)", "Memory Capacity(MB)", "DDR Capacity(MB)"}},
	TopicECC: {{"single-bit errors", "Single-bit Error Count"}, {"double-bit errors", "Double-bit Error Count"},
		{"DDR single-bit errors", "DDR Single Bit Error Count"}, {"DDR double-bit errors", "DDR Double Bit Error Count"},
		{"HBM single-bit errors", "HBM Single Bit Error Count"}, {"HBM double-bit errors", "HBM Double Bit Error Count"},
		{"isolated pages", "HBM Double Bit Isolated Pages Count", "DDR Double Bit Isolated Pages Count"},
		{"pages that wait", "HBM Double Bit Next Isolated Pages Count", "DDR Double Bit Next-Isolated Pages Count"}},
}

func ofReadings(topic Topic, answer []byte, card int) (f figures, err error) {
	r, err := ParseReadings(answer, card)
	if err != nil {
		return nil, err
	}
	one := func(chip string, reading Reading) error {
		var told []string
		for _, keys := range readable[topic] {
			value, err := reading.Figure(keys[1:]...)
			if err != nil {
				return err
			}
			if value != nil {
				told = append(told, fmt.Sprint(keys[0], " ", *value))
			}
		}
		f.add(chip+":", strings.Join(told, ", "))
		return nil
	}
	for _, chip := range r.Chips {
		if err := one(fmt.Sprint("chip ", chip.Chip), chip); err != nil {
			return nil, err
		}
	}
	for _, silent := range r.NoAnswer {
		f.add(fmt.Sprintf("chip %d does not answer:", silent.Chip), silent.Said)
	}
	if r.MCU != nil {
		return f, one("MCU", *r.MCU)
	}
	return f, nil
}
