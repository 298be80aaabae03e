package ascend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Topic is something that npu-smi tells of every chip of a card, as its -t
// option names it.
type Topic string

// The topics that ParseReadings reads.
const (
	TopicUsages      Topic = "usages"
	TopicCommon      Topic = "common"
	TopicECC         Topic = "ecc"
	TopicMemory      Topic = "memory"
	TopicTemperature Topic = "temp"
	TopicPower       Topic = "power"
)

// Reading is what npu-smi says of one chip on a topic, in its order and with its
// own keys.
type Reading struct {
	Chip   int     `json:"chip"`
	Fields []Field `json:"fields"`
}

// Readings are what the driver says of a card's chips on a topic.
func (n Node) Readings(ctx context.Context, topic Topic, card int) ([]Reading, error) {
	parse := func(out []byte) ([]Reading, error) { return ParseReadings(out, card) }
	return ask(ctx, n.host, parse, "npu-smi", "info", "-t", string(topic), "-i", strconv.Itoa(card))
}

const (
	keyChip = "Chip ID"
	// maxReading bounds the fields of one chip; a topic has some twenty.
	maxReading = 128
)

// ParseReadings reads what `npu-smi info -t TOPIC -i card` prints: the card, and
// then fields for each chip, which its id ends. The answer must be about that
// card, and about each chip once.
func ParseReadings(out []byte, card int) ([]Reading, error) {
	if err := tooLong(out); err != nil {
		return nil, err
	}
	var chips []Reading
	var open []Field
	for line := range lines(out) {
		f, is := cutField(line, ":")
		switch {
		case !is || f.Key == "" || !f.sound() || f.named(keyChips):
		case f.named(keyCard) && f.Value != strconv.Itoa(card):
			return nil, fmt.Errorf("is about card %q, not card %d", f.Value, card)
		case f.named(keyCard):
		case f.named(keyChip):
			chip, err := count(f)
			if err != nil {
				return nil, err
			}
			if len(open) == 0 || len(chips) == maxChips {
				return nil, fmt.Errorf("says nothing of chip %d", chip)
			}
			for _, other := range chips {
				if other.Chip == chip {
					return nil, fmt.Errorf("is about chip %d twice", chip)
				}
			}
			chips, open = append(chips, Reading{chip, open}), nil
		case len(open) < maxReading:
			open = append(open, f)
		}
	}
	switch {
	case len(open) > 0:
		return nil, errors.New("ends before it says which chip it is about")
	case len(chips) == 0:
		return nil, errors.New("is about no chip")
	}
	return chips, nil
}

// Figure is a number under the first of these keys that has one; releases differ
// in case and in blanks. nil: none has. A value that is no number is an error.
func (r Reading) Figure(keys ...string) (*float64, error) {
	for _, key := range keys {
		for _, f := range r.Fields {
			if !strings.EqualFold(squeezed(f.Key), squeezed(key)) || none(f.Value) {
				continue
			}
			figures := row{text: map[string]string{f.Key: f.Value}}
			return figures.measure(f.Key), figures.err
		}
	}
	return nil, nil
}

func squeezed(key string) string { return strings.ReplaceAll(key, " ", "") }
