package ascend

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// written is how an answer about a card's health may be written.
type written struct {
	idFirst     bool // a block begins with its name
	counted     bool // the number of chips is given
	blankBlocks bool // a blank line parts the blocks
	blankNames  bool // a blank line parts each name from its health
	mcu         bool // the last block is the MCU's
	unnamed     int  // the chip whose block has no name; -1: none
}

func (w written) answer(states []State, mcu State) []byte {
	lines := []string{"NPU ID : 3"}
	if w.counted {
		lines = append(lines, fmt.Sprintf("Chip Count : %d", len(states)))
	}
	add := func(name string, state State) {
		block := []string{"Health : " + string(state)}
		if name != "" {
			block = append(block, name)
			if w.idFirst {
				slices.Reverse(block)
			}
			if w.blankNames {
				block = slices.Insert(block, 1, "")
			}
		}
		if w.blankBlocks {
			lines = append(lines, "")
		}
		lines = append(lines, block...)
	}
	for chip, state := range states {
		name := fmt.Sprintf("Chip ID : %d", chip)
		if chip == w.unnamed {
			name = ""
		}
		add(name, state)
	}
	if w.mcu {
		add("Chip Name : MCU", mcu)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func everyWay(yield func(written)) {
	for bits := range 1 << 5 {
		on := func(bit int) bool { return bits&(1<<bit) != 0 }
		for unnamed := -1; unnamed < 3; unnamed++ {
			yield(written{on(0), on(1), on(2), on(3), on(4), unnamed})
		}
	}
}

// Whatever the order of an answer and wherever its blank lines are, each chip has its own
// health if all have a name. If one has none an alarm is an error, or of a block beside it:
// of a chip where chips are counted, and not of the MCU alone.
func TestNoAlarmIsLost(t *testing.T) {
	everyWay(func(w written) {
		for chips := max(1, w.unnamed+1); chips <= 3; chips++ {
			for bits := range 1 << (chips + 1) {
				states, mcu := slices.Repeat([]State{StateOK}, chips), StateOK
				for chip := range states {
					if bits&(1<<chip) != 0 {
						states[chip] = StateAlarm
					}
				}
				if bits&(1<<chips) != 0 {
					mcu = StateWarning
				}
				answer := w.answer(states, mcu)
				if wrong := w.misread(answer, states, mcu); wrong != "" {
					t.Errorf("%+v: %s\n%s", w, wrong, answer)
				}
			}
		}
	})
}

// misread is what is wrong with what is read of an answer, "" if nothing is.
func (w written) misread(answer []byte, states []State, mcu State) string {
	h, err := ParseCardHealth(answer, 3)
	if w.unnamed >= 0 {
		switch {
		case err != nil || !slices.Contains(states, StateAlarm):
		case w.counted && h.State == StateOK:
			return fmt.Sprintf("a chip's alarm is lost: %+v", h)
		case h.State != StateAlarm && h.MCU != StateAlarm:
			return fmt.Sprintf("an alarm is lost: %+v", h)
		}
		return ""
	}
	want := Health{State: StateOK}
	for chip, state := range states {
		want.Chips = append(want.Chips, ChipHealth{Chip: chip, State: state})
		want.State = want.State.Worse(state)
	}
	if w.mcu {
		want.MCU = mcu
	}
	if fmt.Sprint(h) != fmt.Sprint(want) || err != nil {
		return fmt.Sprintf("\n got %+v, %v\nwant %+v", h, err, want)
	}
	return ""
}
