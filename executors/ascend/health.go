package ascend

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// State is how a card is, as the driver judges it; the worst of its alarms.
type State string

// The driver's words, the best first. Unknown also stands for NA, which virtual
// machines and containers are told.
const (
	StateOK       State = "OK"
	StateWarning  State = "Warning"
	StateAlarm    State = "Alarm"
	StateCritical State = "Critical"
	StateUnknown  State = "UNKNOWN"
)

// Health is the health of one card.
type Health struct {
	State  State    `json:"state"`
	Codes  []string `json:"codes,omitempty"`  // hexadecimal, upper case, without 0x
	Alarms []string `json:"alarms,omitempty"` // the driver's words
}

const maxAlarms = 128

var errorCode = regexp.MustCompile(`^[0-9A-F]{1,8}$`)

// ParseHealth reads what `npu-smi info -t health -i card` prints. Alarms follow
// the first one on lines of their own with an empty key.
func ParseHealth(out []byte) (Health, error) {
	var h Health
	if err := tooLong(out); err != nil {
		return h, err
	}
	inAlarms := false
	for line := range lines(out) {
		f, is := cutField(line, ":")
		if !is {
			continue
		}
		inAlarms = f.named("Error Information") || inAlarms && f.Key == ""
		switch {
		case f.named("Health Status"), f.named("Health"):
			state, err := parseState(f.Value)
			if err != nil {
				return Health{}, err
			}
			if h.State != "" && h.State != state {
				return Health{}, fmt.Errorf("gives %q and %q as health", h.State, state)
			}
			h.State = state
		case f.named("Error Code"):
			if err := h.addCodes(f.Value); err != nil {
				return Health{}, err
			}
		case inAlarms && !none(f.Value) && len(h.Alarms) < maxAlarms:
			h.Alarms = append(h.Alarms, clip(f.Value, maxValue))
		}
	}
	if h.State == "" {
		return Health{}, errors.New("names no health")
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

func (h *Health) addCodes(list string) error {
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
