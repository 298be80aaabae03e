package ascend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"devserver-agent/executors"
)

// Inventory is what a host says of its NPUs and of the HDK that is installed: what
// HDK_QUERY prints, HDK_UPGRADE remembers and DIAGNOSIS examines. What could not be
// asked is in it with the reason.
type Inventory struct {
	List  CardList     // of the cards that the driver lists
	Err   error        // why it lists none
	Cards []CardReport // one for each card of List, in its order

	Driver, Firmware Installed
	Install          InstallInfo // the zero value if InstallErr is not nil
	InstallErr       error       // fs.ErrNotExist: no installer has run

	Devices    []Device // on the PCI bus; more are there than listed, when a card is lost to the driver
	DevicesErr error
	Virtual    bool     // a virtual machine, whose firmware is installed on its hypervisor's host
	Notes      []string // what else an engineer should know
}

// Installed is the version.info of the driver or of the firmware.
type Installed struct {
	VersionInfo
	Err error // why there is none
}

// CardReport is what the driver says of one card.
type CardReport struct {
	Card
	Board     Board
	Err       error // why there is no Board
	Health    Health
	HealthErr error // why there is no Health; nil where it was not asked for
}

// Hung is the error of a call that did not end in time or was not made because others
// did not, of the card's two; nil if both of its calls ended.
func (c CardReport) Hung() error {
	for _, err := range []error{c.Err, c.HealthErr} {
		if errors.Is(err, executors.ErrTimeout) || errors.Is(err, ErrNotAsked) || errors.Is(err, ErrTooSlow) {
			return err
		}
	}
	return nil
}

// InventoryOptions change what an Inventory asks. The zero value asks versions only.
type InventoryOptions struct {
	Health bool // ask each card's health, too
	AtOnce int  // calls at a time, see Limit
	// Patience is how long cards are begun to be asked, 0: for ever. Those that are
	// left then are ErrTooSlow.
	Patience time.Duration
	// OnProgress is called on the caller's goroutine, once before and then after each card,
	// with how many are done; nil: it is not called.
	OnProgress func(done, of int)
}

// ErrTooSlow is why a card was not asked: the cards before it took too long.
var ErrTooSlow = errors.New("not asked: npu-smi is too slow")

// Inventory asks the driver for its cards and each of them for its versions, and
// reads what is installed. Its error is the cause of ctx, which ended; what was known
// by then is in the Inventory, and the cause stands for what was not. A tool that hangs
// is not called again.
func (n Node) Inventory(ctx context.Context, o InventoryOptions) (Inventory, error) {
	n = NewNode(Limit(n.host, o.AtOnce))
	tell := o.OnProgress
	if tell == nil {
		tell = func(int, int) {}
	}
	began := time.Now()
	inv := n.fromFiles()
	inv.List, inv.Err = n.Cards(ctx)
	tell(0, len(inv.List.Cards))
	inv.Cards = make([]CardReport, len(inv.List.Cards))
	done := make(chan struct{})
	slots := make(chan struct{}, atOnce(o.AtOnce))
	go func() { // begins cards in their order, so that those which are left are the last
		for i, card := range inv.List.Cards {
			slots <- struct{}{}
			go func() {
				if o.Patience > 0 && time.Since(began) >= o.Patience {
					inv.Cards[i] = CardReport{Card: card, Err: ErrTooSlow, HealthErr: ErrTooSlow}
				} else {
					inv.Cards[i] = n.report(ctx, card, o.Health)
				}
				<-slots
				done <- struct{}{}
			}()
		}
	}()
	for i := range inv.List.Cards {
		<-done
		tell(i+1, len(inv.List.Cards))
	}
	inv.Notes = append(slices.Clone(inv.List.Warnings), inv.Notes...)
	inv.Notes = append(inv.Notes, inv.unlisted()...)
	for _, c := range inv.OffBus() {
		inv.Notes = append(inv.Notes, fmt.Sprintf("card %d: %s", c.ID, c.notOnBus()))
	}
	return inv, context.Cause(ctx)
}

// fromFiles is what the host's files say, which no tool can delay.
func (n Node) fromFiles() Inventory {
	var inv Inventory
	inv.Driver.VersionInfo, inv.Driver.Err = n.InstalledDriver()
	inv.Firmware.VersionInfo, inv.Firmware.Err = n.InstalledFirmware()
	inv.Devices, inv.DevicesErr = n.Devices()
	inv.Install, inv.InstallErr = n.InstallInfo()
	inv.Virtual = Virtual(n.host.Files())
	switch {
	case errors.Is(inv.InstallErr, fs.ErrNotExist):
	case inv.InstallErr != nil:
		inv.Notes = append(inv.Notes, inv.InstallErr.Error())
	case inv.Unfinished() != "":
		inv.Notes = append(inv.Notes, inv.Unfinished())
	}
	return inv
}

func atOnce(wanted int) int {
	if wanted < 1 {
		return CardsAtOnce
	}
	return wanted
}

// report asks one card.
func (n Node) report(ctx context.Context, card Card, health bool) CardReport {
	r := CardReport{Card: card}
	r.Board, r.Err = n.Board(ctx, card.ID)
	if r.Chips == 0 {
		r.Chips = r.Board.Chips()
	}
	switch {
	case !health:
	case errors.Is(r.Err, ErrNoCard):
		r.HealthErr = r.Err
	default:
		r.Health, r.HealthErr = n.Health(ctx, card.ID, r.Chips)
	}
	return r
}

// ChipCount is how many chips the card has, one if nothing says more.
func (c Card) ChipCount() int { return max(c.Chips, 1) }

// ChipCount is how many chips the cards have that the driver lists.
func (inv Inventory) ChipCount() int {
	n := 0
	for _, c := range inv.Cards {
		n += c.ChipCount()
	}
	return n
}

// Family is the chip family of the host: of the first card that has one, or else of
// the first device on the bus; "" if neither does.
func (inv Inventory) Family() Chip {
	for _, c := range inv.Cards {
		if chip := c.Board.Chip(); c.Err == nil && chip != "" {
			return chip
		}
	}
	for _, d := range inv.Devices {
		if d.Chip != "" {
			return d.Chip
		}
	}
	return ""
}

// IDs says which ids the host's cards and devices have, for a family that is not
// known; "" if none has any.
func (inv Inventory) IDs() string {
	for _, c := range inv.Cards {
		if vendor, device := c.Board.IDs(); c.Err == nil && device != "" {
			return fmt.Sprintf("vendor %s, device %s", cmp.Or(clip(vendor, maxSaid), "unknown"), clip(device, maxSaid))
		}
	}
	if len(inv.Devices) > 0 {
		return fmt.Sprintf("vendor 0x%04x, device 0x%04x", VendorHuawei, inv.Devices[0].ID)
	}
	return ""
}

// Unfinished is a sentence about an installation of the driver that did not come to its
// end, "" if nothing says so.
func (inv Inventory) Unfinished() string {
	if complete, known := inv.Install.DriverComplete(); complete || !known {
		return ""
	}
	return "ascend_install.info says that the driver's installation did not come to its end"
}

// unlisted is a note about chips that the bus has and the driver does not list.
func (inv Inventory) unlisted() []string {
	listed := inv.ChipCount()
	switch {
	case inv.DevicesErr != nil:
		return []string{inv.DevicesErr.Error()}
	case len(inv.Devices) > 0 && listed == 0:
		return []string{fmt.Sprintf("Ascend chips on the PCI bus: %d", len(inv.Devices))}
	case len(inv.Devices) > listed:
		return []string{fmt.Sprintf("Ascend chips on the PCI bus: %d, of which the driver lists %d", len(inv.Devices), listed)}
	}
	return nil
}
