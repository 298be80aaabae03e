package hdk

import (
	"errors"
	"testing"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// One card whose query hangs does not keep the upgrade from judging the others: only a
// driver that gave the health of none counts as down.
func TestADriverThatHangsForOneCardIsNotDown(t *testing.T) {
	hung := ascend.CardReport{HealthErr: executors.ErrTimeout}
	unasked := ascend.CardReport{HealthErr: ascend.ErrNotAsked}
	sick := ascend.CardReport{Health: ascend.Health{State: ascend.StateCritical}}
	lost := ascend.CardReport{Err: ascend.ErrNoCard, HealthErr: ascend.ErrNoCard}
	mute := ascend.CardReport{Err: executors.ErrTimeout, HealthErr: ascend.ErrNotAsked}
	guest := ascend.CardReport{HealthErr: ascend.ErrUnsupported}
	for name, c := range map[string]struct {
		cards []ascend.CardReport
		down  bool
	}{
		"all answer":              {[]ascend.CardReport{sick, sick}, false},
		"one hangs":               {[]ascend.CardReport{sick, hung, unasked}, false},
		"the first hangs":         {[]ascend.CardReport{hung, sick, unasked}, false},
		"none has a health":       {[]ascend.CardReport{hung, unasked, unasked}, true},
		"no board is given":       {[]ascend.CardReport{mute, mute}, true},
		"one board is given":      {[]ascend.CardReport{mute, sick}, false},
		"a guest has no health":   {[]ascend.CardReport{mute, guest}, false},
		"one is lost, one hangs":  {[]ascend.CardReport{lost, hung}, true},
		"one is lost, none hangs": {[]ascend.CardReport{lost, sick}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if cause := hangs(c.cards); (cause != nil) != c.down || c.down && !errors.Is(cause, executors.ErrTimeout) {
				t.Errorf("down because of %v, want down %v", cause, c.down)
			}
		})
	}
}
