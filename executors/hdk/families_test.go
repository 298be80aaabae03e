package hdk_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"devserver-agent/executors"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/tool"
	"devserver-agent/test/hosttest"
)

// inOrder is what a query says of a host on which all is well. The firmware of a virtual
// machine's cards is installed on the hypervisor's host, so that it runs only.
var inOrder = map[fakehost.Place]*regexp.Regexp{
	fakehost.Metal: regexp.MustCompile(`^Driver: \S+ \| Firmware: \S+$`),
	fakehost.VM:    regexp.MustCompile(`^Driver: \S+ \| Firmware: installed on the hypervisor's host \| running: driver \S+, firmware \S+$`),
}

// healthBlocks is what of the cards' health keeps an upgrade from being begun; "" if
// nothing does.
func (r *rig) healthBlocks() string {
	r.Helper()
	r.spec = executors.Spec{"version": "99.1.0", "firmware_version": "9.9.0", "dry_run": "true"}
	_, _ = r.run(context.Background()) // there are no such packages: the findings are what is tested
	var found []string
	for line := range strings.Lines(r.host.Output()) {
		if what, ok := strings.CutPrefix(strings.TrimSpace(line), "BLOCKS HDK_CARD_UNHEALTHY: "); ok {
			found = append(found, what)
		}
	}
	return strings.Join(found, "; ")
}

// TestEveryFamily queries hosts of every family and has an upgrade judge their health,
// in order and with one chip in alarm or not answering: the last chip of the last card.
func TestEveryFamily(t *testing.T) {
	for _, model := range fakehost.Models() {
		for _, place := range []fakehost.Place{fakehost.Metal, fakehost.VM} {
			t.Run(fmt.Sprintf("%s on %s", model, place), func(t *testing.T) {
				t.Parallel()
				profile, err := model.Profile()
				if err != nil {
					t.Fatal(err)
				}
				card, chip := profile.NPUs[len(profile.NPUs)-1], profile.Chips-1
				silent := fmt.Sprintf("card %d: chip %d UNKNOWN (Failed to query npu chip: %d info)", card, chip, chip)
				r := newRig(t, model, fakehost.Options{Place: place, Cards: 2})
				for _, c := range []struct{ name, wants string }{
					{"", ""},
					{string(fakehost.CardAlarm), fmt.Sprintf("card %d: chip %d Alarm (80E01801)", card, chip)},
					{string(fakehost.ChipSilent), silent},
				} {
					r.host = hosttest.New(t, r.fake.Root()) // another task
					r.host.Play = tool.InProcess(r.fake)
					if message := r.query(); !inOrder[place].MatchString(message) {
						t.Errorf("a query says %q", message)
					}
					if c.name != "" {
						r.set(fault{fakehost.Fault(c.name), []string{fmt.Sprintf("chip=%d", chip)}})
					}
					if got := r.healthBlocks(); got != c.wants {
						t.Errorf("with %q the health blocks by %q, want %q", c.name, got, c.wants)
					}
					if err := r.fake.ClearFault(fakehost.Fault(c.name)); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}
