package ascend

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

// Processes are the programs that use a card, all of them; a Summary has eight of
// a chip at most.
func (n Node) Processes(ctx context.Context, card int) ([]Process, error) {
	parse := func(out []byte) ([]Process, error) { return ParseProcesses(out, card) }
	return ask(ctx, n.host, parse, "npu-smi", "info", "-t", "proc-mem", "-i", strconv.Itoa(card))
}

// The keys of a process, which stand on one line. Values may be empty, and the name
// may hold anything but a line end: a value ends where the next key begins.
var (
	processRow    = regexp.MustCompile(`^(?i:Process id)\s*:`)
	processName   = regexp.MustCompile(`\b(?i:Process name)\s*:`)
	processMemory = regexp.MustCompile(`\b(?i:Process memory\(MB\))\s*:`)
)

// ParseProcesses reads what `npu-smi info -t proc-mem -i card` prints: the processes
// of each chip, a line each. The answer must be about that card. What a line does
// not say of its process is left out; one without an id is passed over, as nobody
// could be asked about it.
func ParseProcesses(out []byte, card int) ([]Process, error) {
	a, err := cutBlocks(out, card, processRow)
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, b := range a.chips {
		for _, row := range b.rows {
			if p, held := parseProcess(row); held {
				p.Card, p.Chip = card, b.chip
				all = append(all, p)
			}
		}
	}
	return all, nil
}

func parseProcess(row string) (p Process, held bool) {
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
