package hdk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// message is what is installed and, where that is not what runs everywhere,
// what differs: "running" for the cards that are not named after it.
func message(inv ascend.Inventory) string {
	said := []string{"Driver: " + formatInstalled(inv.Driver), "Firmware: " + formatFirmware(inv)}
	if inv.Err != nil {
		said = append(said, withoutList(inv.Err))
	}
	common, ok := inv.Running()
	if ok && common != inv.Installed() {
		said = append(said, "running: "+common.String())
	}
	return protocol.Clip(strings.Join(append(said, exceptions(inv, common)...), " | "))
}

func withoutList(err error) string {
	if errors.Is(err, ascend.ErrDriverDown) {
		return ascend.Reason(err)
	}
	return "running: unknown, " + ascend.Reason(err)
}

// exceptions names the cards that do not run common, those with the same words
// together, in the order of the driver's list.
func exceptions(inv ascend.Inventory, common ascend.Pair) []string {
	var apart ascend.GroupedCards
	for _, c := range inv.Cards {
		switch {
		case c.Err != nil:
			apart.Add(c.ID, ascend.Reason(c.Err))
		case c.Runs() != common:
			apart.Add(c.ID, c.Runs().String())
		}
	}
	return apart.List()
}

// answered reports whether any version could be read.
func answered(inv ascend.Inventory) bool {
	if inv.Driver.Err == nil || inv.Firmware.Err == nil {
		return true
	}
	for _, c := range inv.Cards {
		if c.Err == nil && c.Runs() != (ascend.Pair{}) {
			return true
		}
	}
	return false
}

// timedOut reports whether npu-smi kept an answer back.
func timedOut(inv ascend.Inventory) bool {
	if isTimeout(inv.Err) {
		return true
	}
	for _, c := range inv.Cards {
		if isTimeout(c.Err) || errors.Is(c.Err, ascend.ErrTooSlow) {
			return true
		}
	}
	return false
}

// noVersionMessage is the message when no version could be read at all: what was
// tried, how the host is, what to do.
func noVersionMessage(inv ascend.Inventory) string {
	err := inv.Err
	for _, c := range inv.Cards {
		if err == nil {
			err = c.Err
		}
	}
	cause := "npu-smi gives no version"
	if err != nil {
		cause = ascend.Reason(err)
	}
	return fmt.Sprintf("No HDK version can be read: %s; driver %s, firmware %s. Nothing was changed. %s",
		cause, formatInstalled(inv.Driver), formatInstalled(inv.Firmware), ascend.Remedy(err))
}

// formatFirmware is the version, or why there is none.
func formatFirmware(inv ascend.Inventory) string {
	if inv.Virtual && errors.Is(inv.Firmware.Err, fs.ErrNotExist) {
		return "installed on the hypervisor's host"
	}
	return formatInstalled(inv.Firmware)
}

// formatInstalled is the version, or why there is none.
func formatInstalled(i ascend.Installed) string {
	switch {
	case i.Err == nil:
		return string(i.Version)
	case errors.Is(i.Err, fs.ErrNotExist):
		return "missing (no version.info)"
	case errors.Unwrap(i.Err) != nil:
		return fmt.Sprintf("unreadable (version.info: %v)", errors.Unwrap(i.Err))
	default:
		return fmt.Sprintf("unreadable (%v)", i.Err)
	}
}
