package hdk

import (
	"context"
	"errors"
	"slices"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// inventory is how a host's HDK and cards are at one moment, as memos remember it.
type inventory struct {
	Driver   ascend.Version `json:"driver,omitempty"` // installed; "" if none is, or it cannot be read
	Firmware ascend.Version `json:"firmware,omitempty"`
	Cards    []cardState    `json:"cards,omitempty"` // as the driver lists them
	// Down is why the driver lists no cards, "" if it does.
	Down string `json:"down,omitempty"`
	// InUse says that it lists none because somebody else holds the device.
	InUse bool `json:"in_use,omitempty"`
	// NotLoaded says that it lists none because npu-smi itself does not start.
	NotLoaded bool   `json:"not_loaded,omitempty"`
	Chips     int    `json:"chips,omitempty"`     // on the PCI bus
	IDs       string `json:"ids,omitempty"`       // of chips whose family is not known
	Contained bool   `json:"contained,omitempty"` // the agent is in a container, which sees all of the bus
	Boot      string `json:"boot,omitempty"`
	Message   string `json:"message"` // what HDK_QUERY would say
}

// inventoryPatience bounds how long cards are begun to be asked.
const inventoryPatience = 3 * time.Minute

// takeInventory asks the host. Its error is the cause of ctx.
func (r *run) takeInventory(ctx context.Context) (inventory, error) {
	inv, err := r.ask(ctx, true)
	return r.remember(inv), err
}

// remember is what a memo keeps of what the host says.
func (r *run) remember(inv ascend.Inventory) inventory {
	now := inventory{Driver: inv.Driver.Version, Firmware: inv.Firmware.Version, Chips: len(inv.Devices), Boot: r.host.Boot(), Message: message(inv), Contained: ascend.Contained(r.host.Files())}
	if inv.Family() == "" {
		now.IDs = inv.IDs()
	}
	if cause := inv.Err; cause != nil {
		now.Down = ascend.Reason(cause)
		now.InUse, now.NotLoaded = errors.Is(cause, ascend.ErrInUse), errors.Is(cause, ascend.ErrNotLoaded)
	}
	if cause := hangs(inv.Cards); cause != nil {
		now.Down = ascend.Reason(cause)
		return now
	}
	for _, c := range inv.Cards {
		now.Cards = append(now.Cards, stateOf(c))
	}
	for _, off := range inv.OffBus() {
		at := slices.IndexFunc(now.Cards, func(c cardState) bool { return c.ID == off.ID })
		now.Cards[at].OffBus = off.Board.Bus()
	}
	return now
}

// hangs is why a driver that lists its cards counts as down: it hung before any card
// answered all it was asked. Where one did, each card stands for itself.
func hangs(cards []ascend.CardReport) (cause error) {
	for _, c := range cards {
		hung := c.Hung()
		if hung == nil && c.Err == nil {
			return nil
		}
		if isTimeout(hung) {
			cause = hung
		}
	}
	return cause
}

// message is what HDK_QUERY would say now.
func (r *run) message(ctx context.Context) (string, error) {
	inv, err := r.ask(ctx, false)
	return message(inv), err
}

func (r *run) ask(ctx context.Context, health bool) (ascend.Inventory, error) {
	return ascend.NewNode(r.host).Inventory(ctx, ascend.InventoryOptions{Health: health, AtOnce: r.AtOnce, Patience: inventoryPatience})
}

func isTimeout(err error) bool { return errors.Is(err, executors.ErrTimeout) }

// hint is a sentence about what keeps npu-smi from answering, "" if nothing more is
// known than what it says.
func (now inventory) hint() string {
	if now.NotLoaded {
		return " " + ascend.Remedy(ascend.ErrNotLoaded)
	}
	return ""
}

// runs reports whether every card runs the target.
func (now inventory) runs(target release) bool {
	if now.Down != "" || len(now.Cards) == 0 {
		return false
	}
	for _, c := range now.Cards {
		if !c.runs(target) {
			return false
		}
	}
	return true
}

func (now inventory) runsDriver(version ascend.Version) bool {
	for _, c := range now.Cards {
		if c.Driver != version {
			return false
		}
	}
	return len(now.Cards) > 0
}

// former are the versions to return to: what is installed, or else what runs.
func (now inventory) former() release {
	f := release{now.Driver, now.Firmware}
	for _, c := range now.Cards {
		if f.Driver == "" {
			f.Driver = c.Driver
		}
		if f.Firmware == "" && now.Driver != "" {
			f.Firmware = c.Firmware
		}
	}
	return f
}

// listed is how many chips the cards have that the driver lists.
func (now inventory) listed() int {
	n := 0
	for _, c := range now.Cards {
		n += c.Chips
	}
	return n
}

// card is one of the inventory, by its id.
func (now inventory) card(id int) (cardState, bool) {
	for _, c := range now.Cards {
		if c.ID == id {
			return c, true
		}
	}
	return cardState{}, false
}
