package ascend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// State is how a card or chip is, as the driver judges it; the worst of its alarms.
type State string

// The driver's words, the best first. Unknown also stands for NA, which virtual
// machines and containers get, and for a chip that does not answer.
const (
	StateOK       State = "OK"
	StateWarning  State = "Warning"
	StateAlarm    State = "Alarm"
	StateCritical State = "Critical"
	StateUnknown  State = "UNKNOWN"
)

// severity orders the states. A chip that does not answer may be lost, which is more
// than a warning and less than an alarm that the driver raised.
var severity = map[State]int{StateOK: 0, StateWarning: 1, StateUnknown: 2, StateAlarm: 3, StateCritical: 4}

// Worse is the worse of two states.
func (s State) Worse(other State) State {
	if other.WorseThan(s) {
		return other
	}
	return s
}

// WorseThan reports whether s is worse than other.
func (s State) WorseThan(other State) bool { return severity[s] > severity[other] }

// Health is the health of one card.
type Health struct {
	State State        `json:"state"` // of its worst chip
	Chips []ChipHealth `json:"chips"` // each chip that the driver counts, one at least
	// MCU is the health of the card's management controller, which is judged apart
	// from the chips; "" where it is not reported, as in a virtual machine.
	MCU State `json:"mcu,omitempty"`
}

// ChipHealth is the health of one chip.
type ChipHealth struct {
	Chip   int      `json:"chip"`
	State  State    `json:"state"`
	Codes  []string `json:"codes,omitempty"`  // hexadecimal, upper case, without 0x
	Alarms []string `json:"alarms,omitempty"` // the driver's words for them
	// Silent is the tool's sentence if it could not ask the chip when it asked the card.
	// A chip that answered the second time has a State all the same.
	Silent string `json:"silent,omitempty"`
	// Detail is why else the state or the codes are not known; "" if nothing says so.
	Detail string `json:"detail,omitempty"`
	// Absent says that the card's answer does not speak of the chip.
	Absent bool `json:"absent,omitempty"`
}

// Codes are the error codes of all chips.
func (h Health) Codes() []string {
	var codes []string
	for _, c := range h.Chips {
		codes = append(codes, c.Codes...)
	}
	return codes
}

func (h Health) incomplete() bool {
	return slices.ContainsFunc(h.Chips, func(c ChipHealth) bool { return c.Silent != "" || c.Detail != "" })
}

const maxAlarms = 128

var errorCode = lazyregexp.New(`^[0-9A-F]{1,8}$`)

// Health is the health of one card as the running driver sees it. The tool gives a
// card's health without codes, so each chip that is not OK is asked once more; that
// it does not answer then is no error, its state is known. chips is how many the card has
// by other answers, 0 if none says: a chip of which this one does not speak is asked, too.
func (n Node) Health(ctx context.Context, card, chips int) (Health, error) {
	parse := func(out []byte) (Health, error) { return ParseCardHealth(out, card) }
	argv := []string{"npu-smi", "info", "-t", "health", "-i", strconv.Itoa(card)}
	h, err := ask(ctx, n.host, parse, argv...)
	if err != nil {
		return Health{}, err
	}
	h.expect(chips)
	for i := range h.Chips {
		chip := &h.Chips[i]
		if chip.State == StateOK || chip.Codes != nil {
			continue
		}
		detail, err := ask(ctx, n.host, ParseHealth, append(argv, "-c", strconv.Itoa(chip.Chip))...)
		switch {
		case ctx.Err() != nil:
			return Health{}, context.Cause(ctx)
		case chip.Absent && chip.Silent == "" && (errors.Is(err, ErrFailed) || errors.Is(err, ErrNoCard)):
			chip.Silent = Reason(err)
		case err != nil && chip.Detail == "":
			chip.Detail = Reason(err)
		case err == nil:
			chip.Codes, chip.Alarms = detail.Codes, detail.Alarms
			if chip.State == StateUnknown && detail.State != StateUnknown {
				chip.State = detail.State
			}
		}
	}
	h.judge()
	return h, nil
}

// judge has the worst chip decide.
func (h *Health) judge() {
	h.State = StateOK
	for _, c := range h.Chips {
		h.State = h.State.Worse(c.State)
	}
}

// expect adds the chips that the card has and the answer does not count.
func (h *Health) expect(chips int) {
	for chip := 0; chip < chips && len(h.Chips) < chips; chip++ {
		if !slices.ContainsFunc(h.Chips, func(c ChipHealth) bool { return c.Chip == chip }) {
			h.Chips = append(h.Chips, ChipHealth{Chip: chip, State: StateUnknown, Absent: true})
		}
	}
	h.judge()
}

// ParseCardHealth reads what `npu-smi info -t health -i card` prints: a state for
// each chip and for the MCU, without codes but for a 950, whose card is a chip. A
// chip that is counted and has no state, or one that makes no sense, is unknown. An
// answer that names no health at all is an error.
func ParseCardHealth(out []byte, card int) (Health, error) {
	a, err := cutBlocks(out, card, nil)
	if err != nil {
		return Health{}, err
	}
	var h Health
	var wrong error
	read := len(a.noAnswer) > 0
	for _, b := range a.chips {
		if b.empty() && (b.named || len(a.mcus) > 0) {
			h.Chips = append(h.Chips, ChipHealth{Chip: b.chip, State: StateUnknown, Absent: true})
			continue
		}
		chip, err := b.health()
		if err != nil { // it must not hide what is said of another chip
			wrong = cmp.Or(wrong, err)
			chip = ChipHealth{Chip: b.chip, State: StateUnknown, Detail: "npu-smi's answer " + err.Error()}
		}
		read = read || err == nil
		h.Chips = append(h.Chips, chip)
	}
	if wrong != nil && !read {
		return Health{}, wrong
	}
	for _, u := range a.noAnswer {
		h.Chips = append(h.Chips, ChipHealth{Chip: u.Chip, State: StateUnknown, Silent: u.Said, Absent: u.Said == ""})
	}
	for _, b := range a.mcus {
		// NA says nothing, and neither does what cannot be read: the chips are what counts.
		if mcu, err := b.health(); err == nil && mcu.State != StateUnknown {
			h.MCU = cmp.Or(h.MCU, StateOK).Worse(mcu.State)
		}
	}
	h.judge()
	return h, nil
}

// ParseHealth reads what `npu-smi info -t health -i card -c chip` prints. Alarms
// follow the first one on lines of their own with an empty key. The answer does not
// name its chip.
func ParseHealth(out []byte) (ChipHealth, error) {
	if err := tooLong(out); err != nil {
		return ChipHealth{}, err
	}
	var b block
	for line := range lines(out) {
		if f, ok := cutField(line, ":"); ok && len(b.fields) < maxReading {
			b.fields = append(b.fields, f)
		}
	}
	return b.health()
}

// health reads the fields of a block.
func (b *block) health() (ChipHealth, error) {
	h := ChipHealth{Chip: b.chip}
	inAlarms := false
	for _, f := range b.fields {
		inAlarms = f.named("Error Information") || inAlarms && f.Key == ""
		switch {
		case f.named("Health Status"), f.named("Health"):
			state, err := parseState(f.Value)
			if err != nil {
				return ChipHealth{}, err
			}
			if h.State != "" && h.State != state {
				return ChipHealth{}, fmt.Errorf("gives %q and %q as health", h.State, state)
			}
			h.State = state
		case f.named("Error Code"):
			if err := h.addCodes(f.Value); err != nil {
				return ChipHealth{}, err
			}
		case inAlarms && !none(f.Value) && len(h.Alarms) < maxAlarms:
			h.Alarms = append(h.Alarms, clip(f.Value, maxValue))
		}
	}
	switch {
	case h.State == "" && b.named:
		return ChipHealth{}, fmt.Errorf("names no health of chip %d", b.chip)
	case h.State == "":
		return ChipHealth{}, errors.New("names no health")
	}
	return h, nil
}

// parseState reads one of the driver's words; a reason may follow UNKNOWN.
func parseState(word string) (State, error) {
	for _, s := range []State{StateOK, StateWarning, StateAlarm, StateCritical, StateUnknown} {
		if strings.EqualFold(word, string(s)) {
			return s, nil
		}
	}
	if none(word) && word != "" || strings.HasPrefix(word, string(StateUnknown)+":") {
		return StateUnknown, nil
	}
	return "", fmt.Errorf("gives %q as health", clip(word, maxSaid))
}

func (h *ChipHealth) addCodes(list string) error {
	if none(list) {
		return nil
	}
	for _, code := range strings.FieldsFunc(strings.ToUpper(list), func(r rune) bool { return strings.ContainsRune(" ,;\t", r) }) {
		code = strings.TrimPrefix(code, "0X")
		if !errorCode.MatchString(code) {
			return fmt.Errorf("gives %q as error code", clip(code, maxSaid))
		}
		if len(h.Codes) < maxAlarms {
			h.Codes = append(h.Codes, code)
		}
	}
	return nil
}
