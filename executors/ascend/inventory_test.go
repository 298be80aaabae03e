package ascend_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/test/support/wait"
)

// eight prints a list of eight cards and a board for each.
const eight = `case "$*" in
"info -l") printf '\tTotal Count : 8\n'; for i in 0 1 2 3 4 5 6 7; do printf '\n\tNPU ID : %s\n\tChip Count : 1\n' $i; done ;;
"info -t board -i "*) printf '\tNPU ID : %s\n\tSoftware Version : 24.1.0\n\tFirmware Version : 7.5.0.2.220\n\tPCI Vendor ID : 0x19E5\n\tPCI Device ID : 0xD802\n' $5 ;;
"info -t health -i "*) printf '\tNPU ID : %s\n\tChip Count : 1\n\n\tHealth : OK\n\tChip ID : 0\n\n\tHealth : OK\n\tChip Name : MCU\n' $5 ;;
esac
`

func TestAnInventoryHasEveryCardInTheListsOrder(t *testing.T) {
	var steps []string
	inv, err := ascend.NewNode(host(t, eight)).Inventory(t.Context(), ascend.InventoryOptions{
		Health: true, OnProgress: func(done, of int) { steps = append(steps, fmt.Sprintf("%d/%d", done, of)) },
	})
	if err != nil || inv.Err != nil || len(inv.Cards) != 8 || inv.ChipCount() != 8 || inv.Family() != ascend.Chip910B {
		t.Fatalf("the inventory is %+v, %v", inv, err)
	}
	for i, c := range inv.Cards {
		if c.ID != i || c.Err != nil || c.HealthErr != nil || c.Board.Driver() != "24.1.0" || c.Health.State != ascend.StateOK || c.Health.MCU != ascend.StateOK {
			t.Errorf("card %d is %+v", i, c)
		}
	}
	if got := strings.Join(steps, " "); got != "0/8 1/8 2/8 3/8 4/8 5/8 6/8 7/8 8/8" {
		t.Errorf("progress was %s", got)
	}
	if inv.Driver.Err == nil || inv.Firmware.Err == nil {
		t.Error("version.info that is not there was read")
	}
}

// What a tool leaves out is not healthy: neither a chip that it cannot ask nor one that
// only the list of cards counts.
func TestAChipWithoutAHealthIsUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		health string
		silent string
		detail string
	}{
		"the tool cannot ask it":       {`\n\tHealth : OK\n\tChip ID : 0\n\nFailed to query npu chip: 1 info.\n\n\tHealth : OK\n\tChip Name : MCU\n`, "Failed to query npu chip: 1 info.", "npu-smi failed (Failed to query chip)"},
		"the answer leaves it out":     {`\n\tHealth : OK\n\tChip ID : 0\n`, "npu-smi failed (Failed to query chip)", ""},
		"the answer counts fewer":      {`\tChip Count : 1\n\n\tHealth : OK\n\tChip ID : 0\n`, "npu-smi failed (Failed to query chip)", ""},
		"the answer names only itself": {`\tHealth : OK\n`, "npu-smi failed (Failed to query chip)", ""},
		"only the MCU answers":         {`\tHealth : OK\n\tChip Name : MCU\n`, "npu-smi failed (Failed to query chip)", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := host(t, `case "$*" in
"info -l") printf '\tTotal Count : 1\n\n\tNPU ID : 8\n\tChip Count : 2\n' ;;
"info -t board -i 8") printf '\tNPU ID : 8\n\tSoftware Version : 24.1.1.1\n' ;;
"info -t health -i 8") printf '\tNPU ID : 8\n`+map[bool]string{true: `\tChip Count : 2\n`}[strings.HasPrefix(c.health, `\n`)]+c.health+`' ;;
*) echo "Failed to query chip"; exit 197 ;;
esac
`)
			inv, err := ascend.NewNode(h).Inventory(t.Context(), ascend.InventoryOptions{Health: true})
			if err != nil || len(inv.Cards) != 1 {
				t.Fatalf("the inventory is %+v, %v", inv, err)
			}
			health := inv.Cards[0].Health
			unknown := func(c ascend.ChipHealth) bool { return c.Chip == 1 && c.State == ascend.StateUnknown }
			at := slices.IndexFunc(health.Chips, unknown)
			if health.State != ascend.StateUnknown || len(health.Chips) != 2 || at < 0 || health.Chips[at].Silent != c.silent || health.Chips[at].Detail != c.detail {
				t.Errorf("the health is %+v, %v", health, inv.Cards[0].HealthErr)
			}
		})
	}
}

// Some families' tools end with an error when a chip does not answer. What they said of
// the others counts.
func TestAnErrorAboutOneChipHidesNoOther(t *testing.T) {
	h := host(t, `case "$*" in
"info -t health -i 8") printf '\tNPU ID : 8\n\tChip Count : 2\n\n\tChip ID : 0\n\tHealth : Alarm\n\n\tChip ID : 1\nFailed to query npu chip: 1 info.\n\nFailed to query "health" info.\n'; exit 197 ;;
"info -t health -i 8 -c 0") printf '\tHealth Status : Alarm\n\tError Code : 80E01801\n' ;;
"info -t ecc -i 8") printf '\tNPU ID : 8\n\tChip Count : 2\n\n\tChip ID : 0\n\tDouble-bit Error Count : 3\n\n\tChip ID : 1\nFailed to query npu chip: 1 info.\n'; exit 197 ;;
"info -t temp -i 8") printf '\tNPU ID : 8\n\tChip Count : 1\n\n\tTemperature(C) : 3\n\tChip ID : 0\n'; exit 197 ;;
*) echo 'Failed to query "health" info.'; exit 197 ;;
esac
`)
	node := ascend.NewNode(h)
	health, err := node.Health(t.Context(), 8, 2)
	if err != nil || health.State != ascend.StateAlarm || !slices.Equal(health.Codes(), []string{"80E01801"}) || health.Chips[1].Silent != "Failed to query npu chip: 1 info." {
		t.Errorf("the health is %+v, %v", health, err)
	}
	readings, err := node.Readings(t.Context(), ascend.TopicECC, 8)
	if err != nil || len(readings.Chips) != 1 || len(readings.NoAnswer) != 1 {
		t.Errorf("the counters are %+v, %v", readings, err)
	}
	if readings, err := node.Readings(t.Context(), ascend.Topic("temp"), 8); !errors.Is(err, ascend.ErrFailed) {
		t.Errorf("an error that is about no chip gives %+v, %v", readings, err)
	}
}

// counted counts the calls of a host's tools that run at a time, and may hold them
// until several do.
type counted struct {
	ascend.Host
	mu        sync.Mutex
	now, most int
	boards    int
	together  int           // calls for a board that have to run before one of them ends
	all       chan struct{} // closed when they do
}

func (c *counted) Query(ctx context.Context, argv ...string) (executors.Reply, error) {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	board := slices.Contains(argv, "board")
	if board {
		if c.boards++; c.boards == c.together {
			close(c.all)
		}
	}
	c.mu.Unlock()
	defer func() { c.mu.Lock(); c.now--; c.mu.Unlock() }()
	if board && c.together > 0 {
		select {
		case <-c.all:
		case <-time.After(wait.Patience):
			return executors.Reply{}, errors.New("the cards are not asked at a time")
		}
	}
	return c.Host.Query(ctx, argv...)
}

func TestCardsAreAskedAFewAtATime(t *testing.T) {
	for atOnce, want := range map[int]int{0: ascend.CardsAtOnce, 1: 1, 3: 3, 64: 8} {
		t.Run(fmt.Sprint(atOnce), func(t *testing.T) {
			c := &counted{Host: host(t, eight), together: want, all: make(chan struct{})}
			inv, err := ascend.NewNode(c).Inventory(t.Context(), ascend.InventoryOptions{AtOnce: atOnce, Health: true})
			if err != nil || len(inv.Cards) != 8 {
				t.Fatalf("the inventory is %+v, %v", inv, err)
			}
			for _, card := range inv.Cards {
				if card.Err != nil {
					t.Error(card.Err)
				}
			}
			if c.most != want {
				t.Errorf("%d calls ran at a time, want %d", c.most, want)
			}
		})
	}
}

func TestAToolThatHungIsNotCalledAgain(t *testing.T) {
	h := host(t, strings.Replace(eight, `case "$*" in`, `case "$*" in
"info -t board -i 2") exec sleep 600 ;;`, 1))
	h.TimeoutOf = func(argv []string) time.Duration {
		if argv[len(argv)-1] == "2" {
			return 50 * time.Millisecond
		}
		return 0
	}
	inv, err := ascend.NewNode(h).Inventory(t.Context(), ascend.InventoryOptions{AtOnce: 1, Health: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, nil, executors.ErrTimeout, ascend.ErrNotAsked, ascend.ErrNotAsked, ascend.ErrNotAsked, ascend.ErrNotAsked, ascend.ErrNotAsked} {
		if got := inv.Cards[i].Err; !errors.Is(got, want) {
			t.Errorf("card %d: %v, want %v", i, got, want)
		}
	}
}

func TestCardsAreLeftWhenTimeIsUp(t *testing.T) {
	inv, err := ascend.NewNode(host(t, eight)).Inventory(t.Context(), ascend.InventoryOptions{Health: true, Patience: time.Nanosecond})
	if err != nil || len(inv.Cards) != 8 || inv.Cards[7].ID != 7 {
		t.Fatalf("the inventory is %+v, %v", inv, err)
	}
	for _, c := range inv.Cards {
		if !errors.Is(c.Err, ascend.ErrTooSlow) || !errors.Is(c.HealthErr, ascend.ErrTooSlow) {
			t.Errorf("card %d: %v, its health: %v", c.ID, c.Err, c.HealthErr)
		}
	}
}

// What was known by then is in it.
func TestAnInventoryEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	h := host(t, strings.Replace(eight, `"info -t board`, `"info -t board -i 7") exec sleep 600 ;;
"info -t board`, 1))
	write(t, h.Root(), "sys/bus/pci/devices/0000:c1:00.0/vendor", "0x19e5\n")
	write(t, h.Root(), "sys/bus/pci/devices/0000:c1:00.0/device", "0xd802\n")
	inv, err := ascend.NewNode(h).Inventory(ctx, ascend.InventoryOptions{OnProgress: func(done, _ int) {
		if done == 7 {
			cancel(executors.ErrCancelled)
		}
	}})
	if !errors.Is(err, executors.ErrCancelled) || len(inv.Cards) != 8 || len(inv.Devices) != 1 {
		t.Fatalf("it ends with %v and %+v", err, inv)
	}
	for i, c := range inv.Cards {
		if asked := i < 7; asked != (c.Err == nil) || !asked && !errors.Is(c.Err, executors.ErrCancelled) {
			t.Errorf("card %d: %v", i, c.Err)
		}
	}
}

// A card of a server whose NPUs are on UB gives its ids under other keys, and is on no
// PCI bus.
func TestTheIDsOfAFamilyThatIsNotKnownAreGiven(t *testing.T) {
	h := host(t, `case "$*" in
"info -l") printf '\tTotal Count : 1\n\n\tNPU ID : 0\n' ;;
"info -t board -i 0") printf '\tNPU ID : 0\n\tSoftware Version : 26.0.rc1\n\tPCIe Bus Info : NA\n\tVendor ID : 0xCC08\n\tDevice ID : 0xD807\n' ;;
esac
`)
	inv, err := ascend.NewNode(h).Inventory(t.Context(), ascend.InventoryOptions{})
	if err != nil || inv.Family() != "" || inv.IDs() != "vendor 0xCC08, device 0xD807" {
		t.Errorf("the family is %q, its ids %q, %v", inv.Family(), inv.IDs(), err)
	}
	h = host(t, `printf '\tTotal Count : 1\n\n\tNPU ID : 0\n'`)
	for file, id := range map[string]string{"vendor": "0x19e5\n", "device": "0xd80a\n", "class": "0x120000\n"} {
		write(t, h.Root(), "sys/bus/pci/devices/0000:c1:00.0/"+file, id)
	}
	inv, err = ascend.NewNode(h).Inventory(t.Context(), ascend.InventoryOptions{})
	if err != nil || inv.Family() != "" || inv.IDs() != "vendor 0x19e5, device 0xd80a" {
		t.Errorf("the family is %q, its ids %q, %v", inv.Family(), inv.IDs(), err)
	}
}
