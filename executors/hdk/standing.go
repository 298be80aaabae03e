package hdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// standing is how a host's HDK is at one moment, as memos remember it.
type standing struct {
	Driver   ascend.Version `json:"driver,omitempty"` // installed; "" if none is, or it cannot be read
	Firmware ascend.Version `json:"firmware,omitempty"`
	Cards    []cardState    `json:"cards,omitempty"` // as the driver lists them
	// Down is why the driver lists no cards, "" if it does.
	Down string `json:"down,omitempty"`
	// InUse says that it lists none because somebody else holds the device.
	InUse   bool   `json:"in_use,omitempty"`
	Chips   int    `json:"chips,omitempty"` // on the PCI bus
	Boot    string `json:"boot,omitempty"`
	Message string `json:"message"` // what HDK_QUERY would say
}

// cardState is one card of a standing.
type cardState struct {
	ID       int            `json:"id"`
	Chips    int            `json:"chips"`
	Chip     ascend.Chip    `json:"chip,omitempty"`
	Driver   ascend.Version `json:"driver,omitempty"` // running
	Firmware ascend.Version `json:"firmware,omitempty"`
	Health   ascend.State   `json:"health"`
	Codes    []string       `json:"codes,omitempty"`
	Trouble  string         `json:"trouble,omitempty"` // why it tells no versions
	Unasked  string         `json:"unasked,omitempty"` // why its health is not known
}

// lookPatience bounds how long cards are asked one after the other.
const lookPatience = 3 * time.Minute

// stand looks at the host. Its error is the cause of ctx.
func stand(ctx context.Context, host executors.Host) (standing, error) {
	quiet := quietHost{host}
	seen, err := look(ctx, quiet, lookPatience)
	if err != nil {
		return standing{}, err
	}
	s := standing{Driver: seen.driver.version, Firmware: seen.firmware.version, Message: seen.message(), Boot: bootID(host.Files())}
	if seen.err != nil {
		s.Down, s.InUse = ascend.Why(seen.err), errors.Is(seen.err, ascend.ErrInUse)
	}
	node := ascend.NewNode(host)
	if devices, err := node.Devices(); err == nil {
		s.Chips = len(devices)
	}
	for i, c := range seen.cards {
		state := cardState{ID: c.id, Chips: max(seen.list.Cards[i].Chips, 1), Chip: c.board.Chip(), Driver: c.board.Driver(), Firmware: c.board.Firmware(), Health: ascend.StateUnknown}
		if c.err != nil {
			state.Trouble = ascend.Why(c.err)
		} else if health, err := node.Health(ctx, c.id); err == nil {
			state.Health, state.Codes = health.State, health.Codes
		} else if ctx.Err() != nil {
			return standing{}, context.Cause(ctx)
		} else if state.Unasked = ascend.Why(err); isTimeout(err) {
			s.Down = ascend.Why(err) // it would hang as often as there are cards
			s.Cards = nil
			return s, nil
		}
		s.Cards = append(s.Cards, state)
	}
	return s, nil
}

// quietHost keeps the progress of a look to itself.
type quietHost struct{ executors.Host }

func (quietHost) Progress(int, string) {}

// runs reports whether every card runs the target.
func (s standing) runs(target release) bool {
	if s.Down != "" || len(s.Cards) == 0 {
		return false
	}
	for _, c := range s.Cards {
		if !c.runs(target) {
			return false
		}
	}
	return true
}

// runs reports whether the card runs the target. The driver is trusted in what
// it tells: a firmware that it tells nobody is not seen running.
func (c cardState) runs(target release) bool {
	return c.Trouble == "" && c.Driver == target.Driver && c.Firmware == target.Firmware
}

// former are the versions to return to: what is installed, or else what runs.
func (s standing) former() release {
	f := release{s.Driver, s.Firmware}
	for _, c := range s.Cards {
		if f.Driver == "" {
			f.Driver = c.Driver
		}
		if f.Firmware == "" && s.Driver != "" {
			f.Firmware = c.Firmware
		}
	}
	return f
}

// condition is the card's health in words.
func (c cardState) condition() string {
	if unknown := cmp.Or(c.Trouble, c.Unasked); unknown != "" {
		return unknown
	}
	if len(c.Codes) == 0 {
		return string(c.Health)
	}
	return fmt.Sprintf("%s (%s)", c.Health, strings.Join(c.Codes, " "))
}

// running is what the card runs, in words.
func (c cardState) running() string {
	return cmp.Or(c.Trouble, pair{c.Driver, c.Firmware}.String())
}

// release is a driver and a firmware that belong together.
type release struct {
	Driver   ascend.Version `json:"driver,omitempty"`
	Firmware ascend.Version `json:"firmware,omitempty"`
}

func (r release) String() string {
	return fmt.Sprintf("driver %s, firmware %s", r.Driver, r.Firmware)
}

// bootID is the id of the host's present boot, "" if it cannot be read.
func bootID(files fs.FS) string {
	raw, err := fs.ReadFile(files, "proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// machine is this machine's architecture, as uname -m says it.
func machine() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Machine[:])
}
