package ascend

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// Topic is something that npu-smi reports of every chip of a card, as its -t
// option names it.
type Topic string

// The topics that checks ask for. ParseReadings reads any.
const (
	TopicCommon Topic = "common"
	TopicECC    Topic = "ecc"
)

// Readings are what npu-smi says of a card on a topic. Each chip is in Chips or in
// NoAnswer, and one of the two is not empty.
type Readings struct {
	Chips    []Reading  `json:"chips,omitempty"`
	NoAnswer []NoAnswer `json:"no_answer,omitempty"`
	// MCU is what it says of the card's management controller, of the first if there
	// are several; its Chip means nothing. nil: the answer has no such block.
	MCU *Reading `json:"mcu,omitempty"`
}

// Reading is what npu-smi says of one chip on a topic, in its order and with its
// own keys.
type Reading struct {
	Chip   int     `json:"chip"`
	Fields []Field `json:"fields"`
}

func (r Readings) incomplete() bool { return anySaid(r.NoAnswer) }

// Readings are what the driver says of a card's chips on a topic.
func (n Node) Readings(ctx context.Context, topic Topic, card int) (Readings, error) {
	parse := func(out []byte) (Readings, error) { return ParseReadings(out, card) }
	return ask(ctx, n.host, parse, "npu-smi", "info", "-t", string(topic), "-i", strconv.Itoa(card))
}

// ParseReadings reads what `npu-smi info -t TOPIC -i card` prints. The answer must
// be about that card, and about each chip once. An answer that names no chip is
// about the only one, 0.
func ParseReadings(out []byte, card int) (Readings, error) {
	a, err := cutBlocks(out, card, nil)
	if err != nil {
		return Readings{}, err
	}
	r := Readings{NoAnswer: a.noAnswer}
	for _, b := range a.chips {
		switch {
		case len(b.fields) > 0:
			r.Chips = append(r.Chips, Reading{b.chip, b.fields})
		case b.named:
			r.NoAnswer = append(r.NoAnswer, NoAnswer{Chip: b.chip})
		default:
			return Readings{}, errors.New("says nothing of any chip")
		}
	}
	if len(a.mcus) > 0 {
		r.MCU = &Reading{Fields: a.mcus[0].fields}
	}
	return r, nil
}

// Figure is a number under the first of these keys that has one; releases differ
// in case and in blanks. nil: none has. A value that is not a number is an error.
func (r Reading) Figure(keys ...string) (*float64, error) {
	for _, key := range keys {
		for _, f := range r.Fields {
			if !strings.EqualFold(squeezed(f.Key), squeezed(key)) || none(f.Value) {
				continue
			}
			figures := row{text: map[string]string{f.Key: unit.ReplaceAllString(f.Value, "$1")}}
			return figures.measure(f.Key), figures.err
		}
	}
	return nil, nil
}

// unit is the unit that some releases write behind a figure, as their keys do in others.
var unit = lazyregexp.New(`^(-?[0-9.]+) ?(?:C|degC|W|MB|MHz|MHZ|%)$`)

func squeezed(key string) string { return strings.ReplaceAll(key, " ", "") }
