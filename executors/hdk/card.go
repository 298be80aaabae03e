package hdk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
)

// cardState is one card of an inventory.
type cardState struct {
	ID       int            `json:"id"`
	Chips    int            `json:"chips"`
	Chip     ascend.Chip    `json:"chip,omitempty"`
	Driver   ascend.Version `json:"driver,omitempty"` // running
	Firmware ascend.Version `json:"firmware,omitempty"`
	Health   ascend.State   `json:"health"` // of its worst chip
	Codes    []string       `json:"codes,omitempty"`
	// Ill are the chips that are not healthy; none where an earlier version of the
	// agent recorded only how the card is.
	Ill      []ascend.ChipHealth `json:"ill,omitempty"`
	MCU      ascend.State        `json:"mcu,omitempty"`     // "" if it is not reported
	Trouble  string              `json:"trouble,omitempty"` // why it gives no versions
	NoAnswer string              `json:"unasked,omitempty"` // why its health is not known
	OffBus   string              `json:"off_bus,omitempty"` // its address, if the PCI bus has no device there
	Hung     bool                `json:"hung,omitempty"`    // the reason of one of them is that npu-smi hung
}

func stateOf(c ascend.CardReport) cardState {
	state := cardState{ID: c.ID, Chips: c.ChipCount(), Chip: c.Board.Chip(), Driver: c.Board.Driver(), Firmware: c.Board.Firmware(), Health: ascend.StateUnknown}
	state.Hung = c.Hung() != nil
	if c.Err != nil {
		state.Trouble = ascend.Reason(c.Err)
	}
	if c.HealthErr != nil {
		state.NoAnswer = ascend.Reason(c.HealthErr)
		return state
	}
	state.Health, state.Codes, state.MCU = c.Health.State, c.Health.Codes(), c.Health.MCU
	for _, chip := range c.Health.Chips {
		if chip.State != ascend.StateOK {
			state.Ill = append(state.Ill, chip)
		}
	}
	return state
}

// runs reports whether the card runs the target. The driver is trusted in what
// it says: a firmware that it does not name is not seen running.
func (c cardState) runs(target release) bool {
	return c.Trouble == "" && c.Driver == target.Driver && c.Firmware == target.Firmware
}

// running is what the card runs, in words.
func (c cardState) running() string {
	return cmp.Or(c.Trouble, ascend.Pair{Driver: c.Driver, Firmware: c.Firmware}.String())
}

// condition is the card's health in words: which chip, how it is, its error codes or
// what the tool says instead.
func (c cardState) condition() string {
	var words []string
	switch {
	case c.Trouble != "" || c.NoAnswer != "":
		words = append(words, cmp.Or(c.Trouble, c.NoAnswer))
	case c.OffBus != "":
		words = append(words, "the PCI bus has no device at "+c.OffBus)
	case len(c.Ill) == 0:
		return withDetail(string(c.Health), strings.Join(c.Codes, " "))
	}
	for _, chip := range c.Ill {
		detail := cmp.Or(strings.Join(chip.Codes, " "), strings.Join(chip.Alarms, ", "), strings.TrimSuffix(chip.Silent, "."), strings.TrimSuffix(chip.Detail, "."))
		if detail == "" && chip.State == ascend.StateUnknown {
			detail = "npu-smi counts it and says nothing of it"
		}
		words = append(words, withDetail(fmt.Sprintf("chip %d %s", chip.Chip, chip.State), detail))
	}
	return strings.Join(words, ", ")
}

// healthy reports whether the card answers all it was asked, and that it is well.
func (c cardState) healthy() bool {
	return c.Health == ascend.StateOK && c.Trouble == "" && c.OffBus == ""
}

func withDetail(words, detail string) string {
	if detail == "" {
		return words
	}
	return fmt.Sprintf("%s (%s)", words, detail)
}

// worseThan reports whether the health of a chip is worse than it was. Of a chip
// whose health was not known nothing is worse.
func (c cardState) worseThan(before cardState) bool {
	if len(c.Ill) == 0 || len(before.Ill) == 0 {
		return worse(c.Health, before.Health)
	}
	return slices.ContainsFunc(c.Ill, func(now ascend.ChipHealth) bool {
		for _, was := range before.Ill {
			if was.Chip == now.Chip {
				return worse(now.State, was.State)
			}
		}
		return true // it was healthy
	})
}

func worse(now, before ascend.State) bool {
	return before != ascend.StateUnknown && now.WorseThan(before)
}
