package ascend

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// Processes are the programs that use a card, all of them; a Summary has eight of
// a chip at most.
func (n Node) Processes(ctx context.Context, card int) ([]Process, error) {
	parse := func(out []byte) ([]Process, error) { return ParseProcesses(out, card) }
	return ask(ctx, n.host, parse, "npu-smi", "info", "-t", "proc-mem", "-i", strconv.Itoa(card))
}

// processLine has the name between two keys: it may hold anything but a line end.
var processLine = regexp.MustCompile(`^\s*Process id\s*:\s*(\d{1,9})\s+Process name\s*:\s*(.*?)(?:\s+Process memory\(MB\)\s*:\s*(\d{1,9}).*)?$`)

// ParseProcesses reads what `npu-smi info -t proc-mem -i card` prints: for each
// chip its processes, which the chip's id ends. The answer must be about that
// card. A line that the name of its process ends is a process all the same.
func ParseProcesses(out []byte, card int) ([]Process, error) {
	if err := tooLong(out); err != nil {
		return nil, err
	}
	var all []Process
	chips, open := 0, 0 // chips told of; where the processes of the next one begin
	for line := range lines(out) {
		if match := processLine.FindStringSubmatch(line); match != nil {
			if len(all) == maxProcesses {
				return nil, fmt.Errorf("lists more than %d processes", maxProcesses)
			}
			all = append(all, process(card, match))
			continue
		}
		f, is := cutField(line, ":")
		switch {
		case !is:
		case f.named(keyCard) && f.Value != strconv.Itoa(card):
			return nil, fmt.Errorf("is about card %q, not card %d", clip(f.Value, maxSaid), card)
		case f.named(keyChip):
			chip, err := count(f)
			if err != nil {
				return nil, err
			}
			for ; open < len(all); open++ {
				all[open].Chip = chip
			}
			chips++
		}
	}
	switch {
	case open < len(all):
		return nil, errors.New("ends before it says which chip it is about")
	case chips == 0:
		return nil, errors.New("is about no chip")
	}
	return all, nil
}

func process(card int, match []string) Process {
	p := Process{Card: card, Name: clip(match[2], maxValue)}
	p.PID, _ = strconv.Atoi(match[1]) // nine digits
	if memory, err := strconv.Atoi(match[3]); err == nil {
		p.Memory = &memory
	}
	return p
}
