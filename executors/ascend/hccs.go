package ascend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// HCCS is how the links between a chip and the others of its host are.
type HCCS struct {
	// Judged says that the driver gives a health; a 310P has counters only.
	Judged  bool    `json:"judged"`
	Healthy bool    `json:"healthy"`
	Health  string  `json:"health,omitempty"` // the driver's word, "" if it has no such key
	Lanes   []int   `json:"lanes,omitempty"`  // lanes that each link trained to; 0: none
	Fields  []Field `json:"fields"`           // all that the driver says
}

// OnlyChip asks a card of a 950 about its chip: npu-smi knows no chips there.
const OnlyChip = -1

// HCCS asks for the links of a chip, or of a card with OnlyChip. Devices without such
// links are ErrUnsupported.
func (n Node) HCCS(ctx context.Context, card, chip int) (HCCS, error) {
	argv := []string{"npu-smi", "info", "-t", "hccs", "-i", strconv.Itoa(card)}
	if chip != OnlyChip {
		argv = append(argv, "-c", strconv.Itoa(chip))
	}
	return ask(ctx, n.host, ParseHCCS, argv...)
}

// ParseHCCS reads what `npu-smi info -t hccs -i card -c chip` prints: health, lanes
// and counters, a list in brackets each; on a 310P the counters only. npu-smi's own words
// are OK and NOK; any other word than HEALTHY is no health that one could rely on.
func ParseHCCS(out []byte) (HCCS, error) {
	var h HCCS
	if err := tooLong(out); err != nil {
		return h, err
	}
	var lanesErr error
	about := false
	for line := range lines(out) {
		f, ok := cutField(line, ":")
		if !ok || f.Key == "" || f.Value == "" || !f.sound() {
			continue
		}
		if len(h.Fields) == maxReading {
			return HCCS{}, fmt.Errorf("has more than %d fields", maxReading)
		}
		h.Fields = append(h.Fields, f)
		about = about || strings.HasPrefix(strings.ToLower(f.Key), "hccs ")
		switch {
		case f.named("hccs health status"):
			h.Health = clip(f.Value, maxSaid)
		case f.named("hccs lane mode") && !none(f.Value):
			h.Lanes, lanesErr = numbers(f)
		}
	}
	if !about {
		return HCCS{}, errors.New("says nothing of hccs links")
	}
	h.Judged = !none(h.Health)
	h.Healthy = h.Judged && (strings.EqualFold(h.Health, "OK") || strings.EqualFold(h.Health, "HEALTHY"))
	// A bad health counts, whatever the lanes are; they stand in the fields.
	if lanesErr != nil && (h.Healthy || !h.Judged) {
		return HCCS{}, lanesErr
	}
	return h, nil
}

// numbers reads a list such as [4 4 4 0], which some releases may print without brackets.
func numbers(f Field) ([]int, error) {
	inner, open := strings.CutPrefix(f.Value, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if open != closed {
		return nil, fmt.Errorf("gives %q as %s", clip(f.Value, maxSaid), clip(f.Key, maxSaid))
	}
	var all []int
	for _, word := range strings.FieldsFunc(inner, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("gives %q as %s", clip(f.Value, maxSaid), clip(f.Key, maxSaid))
		}
		all = append(all, int(n))
	}
	return all, nil
}
