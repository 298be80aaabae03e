package ascend

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// ProcessList is what the driver says of the processes on a card. Each chip is in Chips
// or in NoAnswer.
type ProcessList struct {
	Processes []Process  `json:"processes,omitempty"`
	Chips     []int      `json:"chips,omitempty"` // those whose processes are listed, or that have none
	NoAnswer  []NoAnswer `json:"no_answer,omitempty"`
}

func (l ProcessList) incomplete() bool { return anySaid(l.NoAnswer) }

// Idle reports whether the list says that no process is on a chip.
func (l ProcessList) Idle(chip int) bool {
	return slices.Contains(l.Chips, chip) && !slices.ContainsFunc(l.Processes, func(p Process) bool { return p.Chip == chip })
}

// Processes are the programs that use a card, all of them; a Summary has eight of
// a chip at most.
func (n Node) Processes(ctx context.Context, card int) (ProcessList, error) {
	parse := func(out []byte) (ProcessList, error) { return ParseProcesses(out, card) }
	return ask(ctx, n.host, parse, "npu-smi", "info", "-t", "proc-mem", "-i", strconv.Itoa(card))
}

// The keys of a process, which stand on one line. Values may be empty, and the name
// may hold anything but a line end: a value ends where the next key begins.
var (
	anyProcessRow = lazyregexp.New(`^(?i:Process id\s*:|No (?:\w+ )?process)`) // or that there is none
	processRow    = lazyregexp.New(`^(?i:Process id)\s*:`)
	processName   = lazyregexp.New(`\b(?i:Process name)\s*:`)
	processMemory = lazyregexp.New(`\b(?i:Process memory\(MB\))\s*:`)
)

// ParseProcesses reads what `npu-smi info -t proc-mem -i card` prints: the processes
// of each chip, a line each. The answer must be about that card, and each process on a
// chip. What a line does not say of its process is left out; one without an id is passed
// over, as nobody could be asked about it.
func ParseProcesses(out []byte, card int) (ProcessList, error) {
	a, err := cutBlocks(out, card, anyProcessRow)
	if err != nil {
		return ProcessList{}, err
	}
	list := ProcessList{NoAnswer: a.noAnswer}
	for _, b := range a.chips {
		list.Chips = append(list.Chips, b.chip)
		for _, row := range b.rows {
			if p, held := parseProcess(row); held {
				p.Card, p.Chip = card, b.chip
				list.Processes = append(list.Processes, p)
			}
		}
	}
	for _, b := range a.unnamed {
		for _, row := range b.rows {
			if _, held := parseProcess(row); held {
				return ProcessList{}, fmt.Errorf("lists a process of no chip (%q)", clip(row, maxSaid))
			}
		}
	}
	return list, nil
}

func parseProcess(row string) (p Process, held bool) {
	if !processRow.MatchString(row) {
		return Process{}, false
	}
	id := row[len(processRow.FindString(row)):]
	if at := processName.FindStringIndex(id); at != nil {
		name := id[at[1]:]
		id = id[:at[0]]
		// The name is the process's own choice: the last key is npu-smi's.
		if keys := processMemory.FindAllStringIndex(name, -1); keys != nil {
			last := keys[len(keys)-1]
			p.Memory = figure(name[last[1]:])
			name = name[:last[0]]
		}
		p.Name = clip(strings.TrimSpace(name), maxValue)
	}
	pid := figure(id)
	if pid == nil {
		return Process{}, false
	}
	p.PID = *pid
	return p, true
}

// figure is the number that a text begins with, nil if there is none.
func figure(text string) *int {
	words := strings.Fields(text)
	if len(words) == 0 || len(words[0]) > 9 {
		return nil
	}
	n, err := strconv.ParseUint(words[0], 10, 31)
	if err != nil {
		return nil
	}
	held := int(n)
	return &held
}
