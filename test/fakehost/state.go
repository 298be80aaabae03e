package fakehost

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Power says whether the host runs.
type Power string

// The two positions of the switch.
const (
	On  Power = "on"
	Off Power = "off"
)

// Kernel is the release of the kernel that a host runs.
const Kernel = "5.10.0-216.0.0.115.oe2203sp4"

// Health is a chip's health as npu-smi words it.
type Health string

// The healths in order of severity; Unknown is what is printed when the chip cannot be asked.
const (
	OK       Health = "OK"
	Warning  Health = "Warning"
	Alarm    Health = "Alarm"
	Critical Health = "Critical"
	Unknown  Health = "UNKNOWN"
)

// State is everything about a host that can change. It is a copy: alter it in Update only.
type State struct {
	Model    Model         `json:"model"`
	Place    Place         `json:"place,omitempty"`
	ServerID string        `json:"server_id,omitempty"`
	Arch     string        `json:"arch"` // as uname -m says it
	HotReset bool          `json:"hot_reset,omitempty"`
	Pace     time.Duration `json:"pace"` // nanoseconds an installation takes
	Seed     string        `json:"seed"` // boot ids and the machine id follow from it

	Power  Power  `json:"power"`
	Boots  int    `json:"boots"` // 1 for a host that was just created
	BootID string `json:"boot_id"`
	Inits  int    `json:"inits"`            // how often an init was started on this host
	Kernel string `json:"kernel,omitempty"` // its release; "" is Kernel

	// Installed is what the installers left on disk, "" is not installed.
	Installed Release `json:"installed"`
	// Pending runs after the next boot, "" is no change.
	Pending Release `json:"pending"`
	// Ranges of the other kind's version that the installed packages declare.
	DriverWants   string `json:"driver_wants,omitempty"`
	FirmwareWants string `json:"firmware_wants,omitempty"`
	InstallForAll bool   `json:"install_for_all,omitempty"`
	// Complete is false from the start of a driver installation to its end.
	Complete bool `json:"complete"`

	// MCU is the image that a card's management controller runs, where it is not
	// FirstMCU; MCUWritten is one that is written and does not run yet.
	MCU        map[int]string `json:"mcu,omitempty"`
	MCUWritten map[int]string `json:"mcu_written,omitempty"`

	Chips  []Chip         `json:"chips"`
	Faults map[Fault]Args `json:"faults,omitempty"`
}

// Chip is one chip and what runs on it. Running.Driver is "" while no driver is loaded.
type Chip struct {
	NPU     int     `json:"npu"`
	Chip    int     `json:"chip"`
	Logic   int     `json:"logic"` // also the physical id and the N of /dev/davinciN
	BusID   string  `json:"bus_id"`
	Serial  string  `json:"serial"`
	Running Release `json:"running"`
	Health  Health  `json:"health"`
	Codes   string  `json:"codes,omitempty"` // error codes, blank-separated, without 0x
}

// Process is a process that holds an NPU.
type Process struct {
	PID       int
	NPU, Chip int
	Logic     int
	Name      string
	Memory    int    // MB
	Container string // the container's id, "" outside one
}

// Loaded tells whether a driver runs at all.
func (s State) Loaded() bool { return s.Running().Driver != "" }

// Usable tells whether the loaded driver also answers.
func (s State) Usable() bool {
	_, down := s.Fault(DriverDown)
	_, untilReboot := s.Fault(DriverDownUntilReboot)
	return s.Loaded() && !down && !(untilReboot && s.Pending.Driver != "")
}

// Running is what runs on the first chip; faults do not show here, see Visible.
func (s State) Running() Release {
	if len(s.Chips) == 0 {
		return Release{}
	}
	return s.Chips[0].Running
}

// Visible lists the chips as the tools see them: without the lost ones, alarms and
// differing versions filled in.
func (s State) Visible() []Chip {
	lost, isLost := s.Fault(CardLost)
	alarm, isAlarm := s.Fault(CardAlarm)
	other, isOther := s.Fault(CardsDisagree)
	last := s.lastNPU()
	var seen []Chip
	for _, c := range s.Chips {
		if s.Place == Container && !slices.Contains(s.mapped(), c.NPU) {
			continue
		}
		if isLost && c.NPU == lost.Int("card", last) {
			continue
		}
		if isAlarm && c.NPU == alarm.Int("card", last) && c.Chip == alarm.Int("chip", c.Chip) {
			c.Health = Health(alarm.String("health", string(Alarm)))
			c.Codes = alarm.String("codes", "80E01801")
		}
		if isOther && c.NPU == other.Int("card", last) {
			c.Running.Driver = other.String("driver", "23.0.3")
			c.Running.Firmware = other.String("firmware", "7.1.0.5.220")
		}
		seen = append(seen, c)
	}
	return seen
}

// mapped are the cards that a container was given: the third and the sixth, or the last.
func (s State) mapped() []int {
	var ids []int
	for _, c := range s.Chips {
		if !slices.Contains(ids, c.NPU) {
			ids = append(ids, c.NPU)
		}
	}
	if len(ids) > 5 {
		return []int{ids[2], ids[5]}
	}
	return ids[len(ids)-1:]
}

// Processes lists what holds the NPUs, in containers and outside.
func (s State) Processes() []Process {
	var all []Process
	for _, f := range []Fault{BusyProcess, BusyContainer} {
		args, on := s.Fault(f)
		if !on {
			continue
		}
		npu := args.Int("card", s.Chips[0].NPU)
		p := Process{PID: args.Int("pid", 40213), NPU: npu, Name: args.String("name", "python3"), Memory: args.Int("memory", 54790)}
		if f == BusyContainer {
			p.PID = args.Int("pid", 40977)
			p.Container = args.String("id", defaultContainer)
		}
		for _, c := range s.Chips {
			if c.NPU == npu && c.Chip == 0 {
				p.Logic = c.Logic
			}
		}
		all = append(all, p)
	}
	return all
}

// Hits reports whether a fault that is about one card is about this one; without
// an argument it is about the last.
func (s State) Hits(f Fault, npu int) (Args, bool) {
	args, on := s.Fault(f)
	return args, on && npu == args.Int("card", s.lastNPU())
}

func (s State) lastNPU() int { return s.Chips[len(s.Chips)-1].NPU }

// FirstMCU is what the management controllers of a new host run.
const FirstMCU = "23.3.13"

// MCUOf is the image that a card's management controller runs.
func (s State) MCUOf(npu int) string { return cmp.Or(s.MCU[npu], FirstMCU) }

// Profile describes the host's model.
func (s State) Profile() Profile {
	p, err := s.Model.Profile()
	if err != nil {
		panic(err) // New admits known models only
	}
	return p
}

// State reads the state as the last change left it. Any number of processes may call it.
func (h *Host) State() (State, error) {
	raw, err := os.ReadFile(h.statePath())
	if err != nil {
		return State{}, fmt.Errorf("fakehost: %s is no fake host: %w", h.dir, err)
	}
	var s State
	if err := json.Unmarshal(raw, &s); err != nil {
		return State{}, fmt.Errorf("fakehost: %s: %w", h.statePath(), err)
	}
	return s, nil
}

// Update changes the state under the host's lock and writes the files that follow
// from it. When change fails nothing is altered and its error is returned. change
// must not use the host.
func (h *Host) Update(change func(*State) error) error {
	unlock, err := h.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s, err := h.State()
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	return h.commit(s)
}

// commit writes s and then the files that follow from it; the lock is held.
func (h *Host) commit(s State) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(h.statePath(), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return h.writeRoot(s)
}

// Trip reports whether a fault applies now and with which arguments. A fault with
// the argument times=N applies N times and then clears itself. match (nil: always)
// decides whether this is a case for the fault.
func (h *Host) Trip(f Fault, match func(Args) bool) (Args, bool, error) {
	s, err := h.State()
	if err != nil {
		return nil, false, err
	}
	args, on := s.Fault(f)
	if !on || (match != nil && !match(args)) {
		return nil, false, nil
	}
	if _, limited := args["times"]; !limited {
		return args, true, nil
	}
	err = h.Update(func(s *State) error {
		if args, on = s.Fault(f); !on {
			return nil
		}
		if left := args.Int("times", 1) - 1; left > 0 {
			args["times"] = fmt.Sprint(left)
		} else {
			delete(s.Faults, f)
		}
		return nil
	})
	return args, on, err
}

func (h *Host) statePath() string { return filepath.Join(h.dir, "state", "state.json") }

func (h *Host) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(h.dir, "state", "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("fakehost: lock the state: %w", err)
	}
	return func() { f.Close() }, nil
}

// replaceFile puts data at path in one step, also over a read-only file.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
