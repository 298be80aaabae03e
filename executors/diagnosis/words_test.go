package diagnosis

import (
	"strings"
	"testing"

	"devserver-agent/executors/ascend"
)

func TestGapsInIdsAreNoMissingCards(t *testing.T) {
	for name, c := range map[string]struct {
		ids   []int
		grade Grade
		what  string
	}{
		"all":                     {[]int{0, 1, 2, 3, 4, 5, 6, 7}, "", ""},
		"every second id":         {[]int{1, 3, 5, 7}, "", ""},
		"two groups":              {[]int{0, 1, 2, 3, 8, 9, 10, 11}, "", ""},
		"two that were given":     {[]int{2, 5}, "", ""},
		"one is missing":          {[]int{0, 1, 2, 4, 5, 6, 7}, Fail, "card 3: not there"},
		"the last is missing":     {[]int{0, 1, 2, 3, 4, 5, 6}, Warn, "7 cards are there"},
		"three, with gaps":        {[]int{0, 2, 9}, "", ""},
		"six, as a rack may have": {[]int{0, 1, 2, 3, 4, 5}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var list []ascend.Card
			for _, id := range c.ids {
				list = append(list, ascend.Card{ID: id})
			}
			found := unusual(list)
			if c.grade == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Grade != c.grade || !strings.HasPrefix(found[0].What, c.what) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

func TestTheHealthOfAChip(t *testing.T) {
	const said = "Failed to query npu chip: 0 info."
	for name, c := range map[string]struct {
		health ascend.ChipHealth
		grade  Grade
		what   string
	}{
		"well":                      {ascend.ChipHealth{State: ascend.StateOK}, Pass, ""},
		"silent":                    {ascend.ChipHealth{State: ascend.StateUnknown, Silent: said}, Fail, "its health is not known: Failed to query npu chip: 0 info"},
		"counted and not mentioned": {ascend.ChipHealth{State: ascend.StateUnknown}, Warn, "its health is not known: the driver does not give it"},
		"silent at first":           {ascend.ChipHealth{State: ascend.StateOK, Silent: said}, Info, "it answered the second time only: Failed to query npu chip: 0 info"},
		"in alarm without codes":    {ascend.ChipHealth{State: ascend.StateAlarm, Detail: "npu-smi failed"}, Fail, "health is Alarm, its codes are not known: npu-smi failed"},
	} {
		t.Run(name, func(t *testing.T) {
			worst, what := Pass, ""
			for _, f := range judgeHealth(c.health) {
				worst, what = worst.Worse(f.Grade), f.What
			}
			if worst != c.grade || what != c.what {
				t.Errorf("%s %q, want %s %q", worst, what, c.grade, c.what)
			}
		})
	}
}
