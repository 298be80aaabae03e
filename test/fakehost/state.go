package fakehost

import (
	"cmp"
	"time"
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
