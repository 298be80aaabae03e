package hdk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/protocol"
)

// message is what is installed and, where that is not what runs everywhere,
// what differs: "running" for the cards that are not named after it.
func message(inv ascend.Inventory) string {
	said := []string{"Driver: " + formatInstalled(inv.Driver), "Firmware: " + formatInstalled(inv.Firmware)}
	if inv.Err != nil {
		said = append(said, withoutList(inv.Err))
	}
	common, ok := commonPair(inv)
	if ok && common != installedPair(inv) {
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
func exceptions(inv ascend.Inventory, common pair) []string {
	var apart ascend.GroupedCards
	for _, c := range inv.Cards {
		switch {
		case c.Err != nil:
			apart.Add(c.ID, ascend.Reason(c.Err))
		case runningPair(c) != common:
			apart.Add(c.ID, runningPair(c).String())
		}
	}
	return apart.List()
}

// commonPair is what most of the cards run that answered; of several pairs that
// equally many run, the installed one or else the first card's. ok is false
// when no card answered.
func commonPair(inv ascend.Inventory) (most pair, ok bool) {
	count := map[pair]int{}
	for _, c := range inv.Cards {
		if c.Err == nil {
			count[runningPair(c)]++
		}
	}
	for _, c := range inv.Cards {
		p := runningPair(c)
		if c.Err == nil && (!ok || count[p] > count[most] || count[p] == count[most] && p == installedPair(inv)) {
			most, ok = p, true
		}
	}
	return most, ok
}

func installedPair(inv ascend.Inventory) pair { return pair{inv.Driver.Version, inv.Firmware.Version} }

func runningPair(c ascend.CardReport) pair { return pair{c.Board.Driver(), c.Board.Firmware()} }

// answered reports whether any version could be read.
func answered(inv ascend.Inventory) bool {
	if inv.Driver.Err == nil || inv.Firmware.Err == nil {
		return true
	}
	for _, c := range inv.Cards {
		if c.Err == nil && runningPair(c) != (pair{}) {
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
	cause := "npu-smi tells no version"
	if err != nil {
		cause = ascend.Reason(err)
	}
	return fmt.Sprintf("No HDK version can be read: %s; driver %s, firmware %s. Nothing was changed. %s",
		cause, formatInstalled(inv.Driver), formatInstalled(inv.Firmware), remedy(err))
}

// libraries is what to do when npu-smi itself does not start.
const libraries = "If the driver is completely installed, have the dynamic loader find its libraries (/usr/local/Ascend/driver/lib64 in /etc/ld.so.conf.d, then ldconfig; or LD_LIBRARY_PATH of the agent's service); otherwise install the driver again."

func remedy(err error) string {
	switch {
	case errors.Is(err, executors.ErrNotFound):
		return "Install the HDK; if it is installed, check host.root and tools.npu_smi in the agent's configuration."
	case errors.Is(err, ascend.ErrNotLoaded):
		return libraries
	case errors.Is(err, ascend.ErrDriverDown):
		return "Install the HDK again; /var/log/ascend_seclog/ascend_install.log tells why the last installation failed."
	case isTimeout(err):
		return "Run npu-smi info -l on the host; if it hangs there too, restart the host."
	default:
		return "Run npu-smi info -l on the host; the task's output has what it said."
	}
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
