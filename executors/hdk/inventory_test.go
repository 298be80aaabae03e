package hdk

import (
	"encoding/json"
	"strings"
	"testing"

	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// cards are healthy ones that run the target, by their ids, with so many chips each.
func cards(chips int, ids ...int) []cardState {
	var all []cardState
	for _, id := range ids {
		all = append(all, cardState{ID: id, Chips: chips, Chip: ascend.Chip910B, Driver: "24.1.0.3", Firmware: "7.5.0.5.220", Health: ascend.StateOK})
	}
	return all
}

var target = release{"24.1.0.3", "7.5.0.5.220"}

// TestMissingCardsAreJudgedByTheNumberOfChips has ids with gaps, ids that change with
// the driver, and chips that are lost from a card which stays.
func TestMissingCardsAreJudgedByTheNumberOfChips(t *testing.T) {
	for name, c := range map[string]struct {
		before, now inventory
		want        string // "" if none is missing
	}{
		"gaps in ids, before and after":    {inventory{Cards: cards(1, 0, 2, 4, 6), Chips: 4}, inventory{Cards: cards(1, 0, 2, 4, 6), Chips: 4}, ""},
		"gaps in ids only after":           {inventory{Cards: cards(1, 0, 1, 2, 3), Chips: 4}, inventory{Cards: cards(1, 0, 2, 4, 6), Chips: 4}, ""},
		"other ids with fewer cards":       {inventory{Cards: cards(1, 0, 1, 2, 3), Chips: 4}, inventory{Cards: cards(1, 0, 2, 4), Chips: 4}, "cards 1, 3"},
		"a card is gone, from the bus too": {inventory{Cards: cards(1, 0, 1, 2, 3), Chips: 4}, inventory{Cards: cards(1, 0, 1, 2), Chips: 3}, "card 3"},
		"a card is gone from the list":     {inventory{Cards: cards(2, 8, 16), Chips: 4}, inventory{Cards: cards(2, 8), Chips: 4}, "card 16"},
		"one chip of a card is gone": {inventory{Cards: cards(2, 8, 16), Chips: 4}, inventory{Cards: append(cards(2, 8), cards(1, 16)...), Chips: 4},
			"the driver listed 4 chips and lists 3, 4 are on the PCI bus"},
		"a card was gone before, and stays so": {inventory{Cards: cards(1, 0, 1, 2), Chips: 4}, inventory{Cards: cards(1, 0, 1, 2), Chips: 4}, ""},
		"a card was gone before, and is back":  {inventory{Cards: cards(1, 0, 1, 2), Chips: 4}, inventory{Cards: cards(1, 0, 1, 2, 3), Chips: 4}, ""},
		"the driver was down before":           {inventory{Down: "driver not running", Chips: 8}, inventory{Cards: cards(1, 0, 1, 2, 3, 4, 5, 6), Chips: 8}, "8 chips were on the PCI bus, the driver lists 7"},
		"the driver was down, chips of an SoC": {inventory{Down: "driver not running"}, inventory{Cards: cards(1, 0)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{plan: plan{Before: c.before}}
			if got := r.lost(c.now); got != c.want {
				t.Errorf("lost %q, want %q", got, c.want)
			}
			wantCode := protocol.Code("")
			if c.want != "" {
				wantCode = protocol.HDKCardLost
			}
			if v := r.wrong(c.now, target); v.Code != wantCode {
				t.Errorf("the verdict is %+v", v)
			}
		})
	}
}

// TestThePlanBlocksOnChipsOfTheBus compares list and bus before anything is begun.
func TestThePlanBlocksOnChipsOfTheBus(t *testing.T) {
	for name, c := range map[string]struct {
		now  inventory
		want string // "" if nothing blocks
	}{
		"gaps in ids":                {inventory{Cards: cards(1, 1, 3, 5, 2144), Chips: 4}, ""},
		"an SoC, which is on no bus": {inventory{Cards: cards(1, 0)}, ""},
		"two chips of a card":        {inventory{Cards: cards(2, 8, 16), Chips: 4}, ""},
		"a card that the bus has":    {inventory{Cards: cards(1, 0, 2, 4), Chips: 4}, "4 chips are on the PCI bus, of which the driver lists 3"},
		"a chip that the bus has":    {inventory{Cards: append(cards(2, 8), cards(1, 16)...), Chips: 4}, "4 chips are on the PCI bus, of which the driver lists 3"},
	} {
		t.Run(name, func(t *testing.T) {
			var blocks []string
			for _, f := range health(c.now) {
				if f.Blocks {
					blocks = append(blocks, f.What)
				}
			}
			if got := strings.Join(blocks, "; "); got != c.want {
				t.Errorf("blocks %q, want %q", got, c.want)
			}
		})
	}
}

// ill is a card of two chips, with the states of both.
func ill(first, second ascend.State) cardState {
	c := cards(2, 5)[0]
	c.Health = first.Worse(second)
	for chip, state := range []ascend.State{first, second} {
		if state != ascend.StateOK {
			c.Ill = append(c.Ill, ascend.ChipHealth{Chip: chip, State: state})
		}
	}
	return c
}

func TestAChipThatIsWorseThanBeforeIsFoundBesideOneThatIsNot(t *testing.T) {
	const ok, warning, alarm, unknown = ascend.StateOK, ascend.StateWarning, ascend.StateAlarm, ascend.StateUnknown
	old := cards(2, 5)[0] // as an earlier version of the agent recorded it: without chips
	old.Health = alarm
	for name, c := range map[string]struct {
		before, now cardState
		worse       bool
	}{
		"as before":                             {ill(alarm, ok), ill(alarm, ok), false},
		"another chip, not worse as a card":     {ill(alarm, ok), ill(ok, warning), true},
		"a second chip that does not answer":    {ill(warning, ok), ill(warning, unknown), true},
		"a chip that did not answer before":     {ill(unknown, ok), ill(alarm, ok), false},
		"better":                                {ill(alarm, warning), ill(warning, ok), false},
		"worse":                                 {ill(ok, ok), ill(ok, unknown), true},
		"recorded by card, as before":           {old, ill(ok, alarm), false},
		"recorded by card, worse than it":       {old, ill(ok, ascend.StateCritical), true},
		"a card that could not be asked before": {cardState{ID: 5, Health: unknown, NoAnswer: "not reported by npu-smi"}, ill(ok, alarm), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.now.worseThan(c.before); got != c.worse {
				t.Errorf("worse: %v", got)
			}
			r := &run{plan: plan{Before: inventory{Cards: []cardState{c.before}}}}
			if v := r.wrong(inventory{Cards: []cardState{c.now}}, target); (v.Code == protocol.HDKCardUnhealthy) != c.worse {
				t.Errorf("the verdict is %+v", v)
			}
		})
	}
}

// TestAPlanOfAnEarlierVersionIsRead has the keys that plans have had from the beginning:
// an upgrade may go on with another version of the agent than it was begun with.
func TestAPlanOfAnEarlierVersionIsRead(t *testing.T) {
	const recorded = `{"target":{"driver":"24.1.0.3","firmware":"7.5.0.5.220"},"former":{"driver":"24.1.0","firmware":"7.5.0.2.220"},"chip":"910b","arch":"aarch64",` +
		`"before":{"driver":"24.1.0","firmware":"7.5.0.2.220","cards":[{"id":7,"chips":1,"chip":"910b","driver":"24.1.0","firmware":"7.5.0.2.220","health":"Alarm","codes":["80E01801"]},` +
		`{"id":8,"chips":1,"health":"UNKNOWN","trouble":"lost","unasked":"busy"}],"down":"why","in_use":true,"chips":8,"boot":"b","message":"m"},` +
		`"course":"revive","returns":[{"package":{"kind":"driver","version":"24.1.0"},"options":["--upgrade"]}],"mcu":{"version":"25.50.10","cards":[1]},"findings":[{"code":"","what":"w","blocks":false}]}`
	var p plan
	if err := json.Unmarshal([]byte(recorded), &p); err != nil {
		t.Fatal(err)
	}
	before := p.Before
	switch {
	case p.Strategy != strategyRepair, len(p.RollbackPackages) != 1, p.MCU.Version != "25.50.10", len(p.Findings) != 1:
		t.Errorf("the plan is %+v", p)
	case len(before.Cards) != 2, before.Down != "why", !before.InUse, before.Chips != 8, before.Boot != "b", before.Message != "m":
		t.Errorf("the inventory is %+v", before)
	}
	if got := before.Cards[0].condition(); got != "Alarm (80E01801)" {
		t.Errorf("card 7 is %q", got)
	}
	if got := before.Cards[1].condition(); got != "lost" {
		t.Errorf("card 8 is %q", got)
	}
}
