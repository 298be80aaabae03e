package ascend

import (
	"context"
	"errors"
	"strings"
)

// Summary is the table that `npu-smi info` prints: the chips that the driver
// lists and the processes on them. One card that does not answer keeps the tool
// from printing any of it.
type Summary struct {
	Tool      Version   `json:"tool,omitempty"`   // of npu-smi itself
	Driver    Version   `json:"driver,omitempty"` // may differ from the tool's
	Chips     []ChipRow `json:"chips"`
	Processes []Process `json:"processes,omitempty"` // npu-smi lists eight of a chip at most
	Warnings  []string  `json:"warnings,omitempty"`  // what npu-smi warned of, and rows of processes that make no sense
}

// NoCard is the card of a chip whose first line npu-smi left out, as it does
// when the driver gives a health that it has no word for.
const NoCard = -1

// ChipRow is one chip of a Summary. What the table has no column for, or no
// figure, is nil. Of a chip in trouble npu-smi prints zeros as if they were
// measured.
type ChipRow struct {
	Card        int      `json:"card"` // or NoCard
	Chip        int      `json:"chip"` // 0 where cards have one
	Name        string   `json:"name,omitempty"`
	Health      State    `json:"health"`
	Bus         string   `json:"bus,omitempty"` // PCI address in lower case; "" on an SoC
	Logic       *int     `json:"logic,omitempty"`
	Physical    *int     `json:"physical,omitempty"`
	Power       *float64 `json:"power,omitempty"`       // W; of a card with two chips the first has it
	Temperature *float64 `json:"temperature,omitempty"` // degrees Celsius
	Busy        *float64 `json:"busy,omitempty"`        // percent, of the AI cores or of the NPU
	Hugepages   *Usage   `json:"hugepages,omitempty"`   // pages
	Memory      *Usage   `json:"memory,omitempty"`      // MB
	HBM         *Usage   `json:"hbm,omitempty"`         // MB
}

// Usage is how much of something is used.
type Usage struct {
	Used  int `json:"used"`
	Total int `json:"total"`
}

// Process is a program that uses a chip.
type Process struct {
	Card   int    `json:"card"`
	Chip   int    `json:"chip"`
	PID    int    `json:"pid"`
	Name   string `json:"name"`
	Memory *int   `json:"memory,omitempty"` // MB
	Inside *int   `json:"inside,omitempty"` // its pid in its container; from 26.0 on
}

const (
	maxChips     = 512
	maxProcesses = 8 * maxChips
)

// Summary is npu-smi's table.
func (n Node) Summary(ctx context.Context) (Summary, error) {
	return ask(ctx, n.host, ParseSummary, "npu-smi", "info")
}

// ParseSummary reads what `npu-smi info` prints. Generations of the tool differ
// in columns and widths; the header names the columns, and a chip has as many
// lines as the header.
func ParseSummary(out []byte) (Summary, error) {
	if err := tooLong(out); err != nil {
		return Summary{}, err
	}
	var t table
	for line := range lines(out) {
		if err := t.take(strings.TrimSpace(line)); err != nil {
			return Summary{}, err
		}
	}
	switch {
	case !t.titled:
		return Summary{}, errors.New("is not a table of chips")
	case len(t.block) > 0:
		return Summary{}, errors.New("ends in the middle")
	case len(t.is.Chips) == 0:
		return Summary{}, errors.New("lists no chip")
	}
	return t.is, nil
}

func (s *Summary) warn(text string) {
	if len(s.Warnings) < maxAlarms {
		s.Warnings = append(s.Warnings, clip(strings.TrimSpace(text), maxValue))
	}
}
