package hdk

import (
	"errors"
	"fmt"
	"io/fs"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// view is what a host says of its HDK, as far as it answered.
type view struct {
	driver, firmware part // what is installed

	list  ascend.CardList // what the driver lists
	err   error           // why it lists nothing
	cards []card          // what runs, a card each

	notes []string // what else an engineer should know; for the output only
}

// part is the version.info of the driver or of the firmware.
type part struct {
	version ascend.Version
	err     error // why there is no version
}

// card is what the driver says of one card.
type card struct {
	id    int
	board ascend.Board
	err   error // why it says nothing
}

// Why a card was not asked.
var (
	errNotAsked = errors.New("not asked")
	errTooSlow  = errors.New("not asked, npu-smi is too slow")
)

func isTimeout(err error) bool { return errors.Is(err, executors.ErrTimeout) }

// answered reports whether any version could be read.
func (v view) answered() bool {
	if v.driver.err == nil || v.firmware.err == nil {
		return true
	}
	for _, c := range v.cards {
		if c.err == nil && (c.board.Driver() != "" || c.board.Firmware() != "") {
			return true
		}
	}
	return false
}

// timedOut reports whether npu-smi kept an answer back.
func (v view) timedOut() bool {
	if isTimeout(v.err) {
		return true
	}
	for _, c := range v.cards {
		if isTimeout(c.err) || errors.Is(c.err, errTooSlow) {
			return true
		}
	}
	return false
}

// pair is a driver and a firmware that run together on a card, or are installed
// together; "" for one that is not told.
type pair struct{ driver, firmware ascend.Version }

func (v view) installed() pair { return pair{v.driver.version, v.firmware.version} }

func (c card) runs() pair { return pair{c.board.Driver(), c.board.Firmware()} }

// common is what most of the cards run that answered; of several pairs that
// equally many run, the installed one or else the first card's. ok is false
// when no card answered.
func (v view) common() (most pair, ok bool) {
	count := map[pair]int{}
	for _, c := range v.cards {
		if c.err != nil {
			continue
		}
		count[c.runs()]++
	}
	for _, c := range v.cards {
		p := c.runs()
		if c.err == nil && (!ok || count[p] > count[most] || count[p] == count[most] && p == v.installed()) {
			most, ok = p, true
		}
	}
	return most, ok
}

// lookAround collects notes: what npu-smi warned of, an installation that did
// not come to its end, chips on the bus that the driver does not list.
func lookAround(node ascend.Node, list ascend.CardList) []string {
	notes := append([]string(nil), list.Warnings...)
	switch info, err := node.InstallInfo(); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		notes = append(notes, err.Error())
	default:
		if complete, told := info.DriverComplete(); told && !complete {
			notes = append(notes, "ascend_install.info says that the driver's installation did not come to its end")
		}
	}
	devices, err := node.Devices()
	if err != nil {
		return append(notes, err.Error())
	}
	listed := 0
	for _, c := range list.Cards {
		listed += max(c.Chips, 1)
	}
	switch {
	case len(devices) > 0 && listed == 0:
		notes = append(notes, fmt.Sprintf("Ascend chips on the PCI bus: %d", len(devices)))
	case len(devices) > listed:
		notes = append(notes, fmt.Sprintf("Ascend chips on the PCI bus: %d, of which the driver lists %d", len(devices), listed))
	}
	return notes
}
