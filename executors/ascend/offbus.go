package ascend

import (
	"fmt"
	"slices"

	"devserver-agent/executors/lazyregexp"
)

// pciAddress is a function's address as sysfs writes it.
var pciAddress = lazyregexp.New(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// OffBus are the cards that the driver lists although the PCI bus has no device at their
// address any more: their link broke down, and the driver's list is older. It finds none
// where the bus has as many chips as the driver lists, or has none of the addresses, as in
// a virtual machine whose cards give the addresses of the hypervisor's host.
func (inv Inventory) OffBus() []CardReport {
	if inv.DevicesErr != nil || len(inv.Devices) >= inv.ChipCount() {
		return nil
	}
	var off []CardReport
	found := 0
	for _, c := range inv.Cards {
		address := c.Board.Bus()
		switch {
		case c.Err != nil || !pciAddress.MatchString(address):
		case slices.ContainsFunc(inv.Devices, func(d Device) bool { return d.Address == address }):
			found++
		default:
			off = append(off, c)
		}
	}
	if found == 0 {
		return nil
	}
	return off
}

func (c CardReport) notOnBus() string {
	return fmt.Sprintf("the driver lists it and the PCI bus has no device at %s", c.Board.Bus())
}
