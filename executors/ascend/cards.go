package ascend

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Card is one entry of the driver's list of cards. The list calls a card "NPU";
// one card carries one chip or several.
type Card struct {
	ID      int    `json:"id"` // not always counted from 0 without gaps
	Product string `json:"product,omitempty"`
	Serial  string `json:"serial,omitempty"`
	Chips   int    `json:"chips,omitempty"` // 0: the list does not say
}

// CardList is the driver's list of cards, in its order.
type CardList struct {
	Cards    []Card   `json:"cards"`
	Warnings []string `json:"warnings,omitempty"` // what npu-smi warned of beside
}

// ParseCards reads what `npu-smi info -l` prints. The announced number of cards
// must be there, and each id once. A list of none is ErrNoCards.
func ParseCards(out []byte) (CardList, error) {
	var list CardList
	if err := tooLong(out); err != nil {
		return list, err
	}
	announced := -1
	for line := range lines(out) {
		if warning, ok := strings.CutPrefix(strings.TrimSpace(line), "[WARNING]"); ok {
			list.Warnings = append(list.Warnings, clip(warning, maxValue))
			continue
		}
		f, ok := cutField(line, ":")
		if !ok {
			continue
		}
		if f.named("Total Count") || f.named("Card Count") {
			n, err := count(f)
			if err != nil {
				return CardList{}, err
			}
			if announced >= 0 && announced != n {
				return CardList{}, fmt.Errorf("announces %d cards and then %d", announced, n)
			}
			announced = n
			continue
		}
		if err := list.add(f); err != nil {
			return CardList{}, err
		}
	}
	switch {
	case announced < 0:
		return CardList{}, errors.New("is not a list of cards")
	case announced == 0 && len(list.Cards) == 0:
		return CardList{}, ErrNoCards
	case announced != len(list.Cards) && announced != list.chips():
		return CardList{}, fmt.Errorf("announces %d cards and lists %d", announced, len(list.Cards))
	}
	return list, nil
}

// chips is how many chips the list has. No source says whether the total of a
// host whose cards carry several chips counts cards or chips; either is taken.
func (l CardList) chips() int {
	n := 0
	for _, c := range l.Cards {
		n += c.Chips
	}
	return n
}

// add takes in one field: the beginning of a card's block or something about
// the card whose block it is.
func (l *CardList) add(f Field) error {
	if f.named("NPU ID") {
		id, err := count(f)
		if err != nil {
			return err
		}
		for _, c := range l.Cards {
			if c.ID == id {
				return fmt.Errorf("lists card %d twice", id)
			}
		}
		if len(l.Cards) == maxCards {
			return fmt.Errorf("lists more than %d cards", maxCards)
		}
		l.Cards = append(l.Cards, Card{ID: id})
		return nil
	}
	if len(l.Cards) == 0 {
		return nil
	}
	card := &l.Cards[len(l.Cards)-1]
	switch {
	case f.named("Chip Count"):
		n, err := count(f)
		if err == nil && n > maxChips {
			err = fmt.Errorf("counts more than %d chips on card %d", maxChips, card.ID)
		}
		if err != nil {
			return err
		}
		card.Chips = n
	case f.named("Product Name"):
		card.Product = clip(f.Value, maxValue)
	case f.named("Serial Number"):
		card.Serial = clip(f.Value, maxValue)
	}
	return nil
}

// count reads a field whose value is a small number of things, or an id.
func count(f Field) (int, error) {
	n, err := strconv.ParseUint(f.Value, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("gives %q as %s", clip(f.Value, maxSaid), clip(f.Key, maxSaid))
	}
	return int(n), nil
}
