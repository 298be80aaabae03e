package fakehost

import (
	"cmp"
	"fmt"
	"slices"
)

// Model names a kind of server that New can build.
type Model string

// The models. Zero is no model.
const (
	// A2 is a training server with eight 910B2 cards, one chip each.
	A2 Model = "A2"
	// A3 is a 910_93 server: eight NPUs of two chips, sixteen PCI functions.
	A3 Model = "A3"
	// P310 is an inference server with two 310P3 cards whose ids are 8 and 16.
	P310 Model = "310P"
	// Duo310P is P310 with two chips on each card.
	Duo310P Model = "Duo310P"
	// B310 is a 310B device with one chip, whose packages do not know --install-for-all.
	B310 Model = "310B"
	// I310 is an inference server with two cards of four 310 chips.
	I310 Model = "310"
	// A1 is a training server with eight first generation 910 chips, whose tools call them 910B.
	A1 Model = "910A"
	// A5 is a 950 server with eight cards; a card is a chip, and no tool numbers its chips.
	A5 Model = "950"
)

// Release is a driver and the firmware that belongs to it.
type Release struct {
	Driver   string `json:"driver"`
	Firmware string `json:"firmware"`
}

// Layout is a generation of npu-smi's table, as "Table layouts" in docs/hardware.md
// names them.
type Layout string

// The layouts. F is E with two chips a card; servers with 26.x tools print G.
const (
	LayoutA Layout = "A"
	LayoutC Layout = "C"
	LayoutD Layout = "D"
	LayoutE Layout = "E"
	LayoutG Layout = "G"
	LayoutH Layout = "H"
)

// Links is what npu-smi tells of the links between chips.
type Links int

// Zero is nothing.
const (
	NoLinks      Links = iota
	LinkCounters       // packets and bytes only
	LinkHealth         // health, lanes and counters
)

// Controller is what npu-smi tells of a card's management controller.
type Controller int

// Zero is that it has none of its own.
const (
	NoController    Controller = iota
	ControllerHeat             // its own temperature
	ControllerPower            // and the card's power, which no chip has
	ControllerRated            // the same, in the words of a 310, whose chips have a rated power
	UnnamedPower               // no controller; the power stands in a block that names nobody
)

// HasBlock tells whether the controller has a block of its own in answers.
func (c Controller) HasBlock() bool { return c != NoController && c != UnnamedPower }

// Place is where the host's operating system runs.
type Place string

// The places; "" is the machine itself.
const (
	Metal     Place = ""
	VM        Place = "vm"
	Container Place = "container"
)

// Places lists every place.
func Places() []Place { return []Place{Metal, VM, Container} }

func (p Place) String() string { return cmp.Or(string(p), "metal") }

// ParsePlace is the place of this name; another one is an error that lists them.
func ParsePlace(name string) (Place, error) {
	for _, p := range Places() {
		if name == p.String() {
			return p, nil
		}
	}
	return Metal, fmt.Errorf("fakehost: no place %q, there are %v", name, Places())
}

// Profile is what all hosts of a model have in common.
type Profile struct {
	Model    Model
	Chip     string // the chip family in package indexes: 910b, 910_93, 310p, 310b, 310, 910, 950
	DeviceID string // PCI device id, lower case with 0x
	Name     string // as npu-smi info prints it
	LongName string // as npu-smi info -m prints it
	HBM      int    // MB a chip; 0: the chip has DDR only
	DDR      int    // MB a chip
	NPUs     []int  // the ids, in the order of the table
	Chips    int    // chips on each NPU
	Server   bool   // 910-family server: npu-smi and -m print the short forms
	Product  string // as the board query calls it
	Layout   Layout // of npu-smi's table, up to release 25
	HCCS     Links  // what npu-smi tells of links between chips
	// CardsOnly: no answer to -t has a chip's id or their number, and -c is unknown.
	CardsOnly bool
	// ChipFirst: a chip's id begins its block of every topic, not of common alone.
	ChipFirst bool
	// MCU says where the management controller stands in the answers.
	MCU Controller
	// Described says that a server's board query names product, maker and serial number.
	Described bool
	// Ports says that chips have network ports, which hccn_tool asks.
	Ports bool

	// Releases in the order in which they came out, Releases[0] is what New installs.
	// The pairs are those of the ModelArts bulletins and of published board queries.
	Releases []Release

	buses []string
}

var profiles = []Profile{
	{
		Model: A2, Chip: "910b", DeviceID: "0xd802", Name: "910B2", LongName: "Ascend 910B2",
		HBM: 65536, NPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, Chips: 1, Server: true,
		Product: "IT21SK4E", Layout: LayoutE, HCCS: LinkHealth, MCU: ControllerHeat, Ports: true, Described: true,
		Releases: []Release{
			{"24.1.0", "7.5.0.2.220"}, {"24.1.0.3", "7.5.0.5.220"}, {"24.1.0.6", "7.5.0.5.220"},
			{"25.0.rc1.1", "7.7.0.1.231"}, {"25.5.2", "7.8.0.7.220"}, {"26.0.rc1", "7.8.0.7.220"},
		},
		buses: []string{"C1", "01", "C2", "02", "81", "41", "82", "42"},
	},
	{
		Model: A3, Chip: "910_93", DeviceID: "0xd803", Name: "Ascend910", LongName: "Ascend910",
		HBM: 65536, NPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, Chips: 2, Server: true,
		Product: "IT21SK4E", Layout: LayoutE, HCCS: LinkHealth, MCU: ControllerHeat, Ports: true, Described: true,
		Releases: []Release{
			{"24.1.rc3.9", "7.5.0.108.220"}, {"24.1.rc3.10", "7.5.0.109.220"}, {"25.2.1", "7.7.0.9.220"},
		},
		buses: []string{
			"9D", "9F", "1D", "1F", "AD", "AF", "2D", "2F",
			"BD", "BF", "3D", "3F", "CD", "CF", "4D", "4F",
		},
	},
	{
		Model: P310, Chip: "310p", DeviceID: "0xd500", Name: "310P3", LongName: "Ascend 310P3",
		DDR: 21527, NPUs: []int{8, 16}, Chips: 1, Releases: releases310P, buses: []string{"82", "01"},
		Product: "Atlas 300V Pro", Layout: LayoutD, HCCS: LinkCounters, MCU: ControllerPower,
	},
	{
		Model: Duo310P, Chip: "310p", DeviceID: "0xd500", Name: "310P3", LongName: "Ascend 310P3",
		DDR: 44280, NPUs: []int{8, 16}, Chips: 2, Releases: releases310P,
		Product: "Atlas 300I Duo", Layout: LayoutD, HCCS: LinkCounters, MCU: ControllerPower,
		buses: []string{"82", "83", "01", "02"},
	},
	{
		Model: B310, Chip: "310b", DeviceID: "0xd107", Name: "310B4", LongName: "Ascend 310B4",
		DDR: 15609, NPUs: []int{0}, Chips: 1,
		Product: "Atlas 200I A2", Layout: LayoutD, ChipFirst: true, MCU: UnnamedPower,
		Releases: []Release{{"23.0.0", "7.1.0.3.220"}, {"24.1.0", "7.5.0.2.220"}},
		buses:    []string{"01"},
	},
	{
		Model: I310, Chip: "310", DeviceID: "0xd100", Name: "310", LongName: "MiniD",
		DDR: 8192, NPUs: []int{3, 5}, Chips: 4,
		Product: "Atlas 300I", Layout: LayoutA, ChipFirst: true, MCU: ControllerRated,
		Releases: []Release{{"21.0.3.1", "1.79.22.5.220"}, {"22.0.4", "1.84.22.5.220"}},
		buses:    []string{"3B", "3C", "3D", "3E", "86", "87", "88", "89"},
	},
	{
		Model: A1, Chip: "910", DeviceID: "0xd801", Name: "910B", LongName: "Ascend 910B",
		HBM: 32768, DDR: 15137, NPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, Chips: 1, Server: true,
		Product: "Atlas 800", Layout: LayoutC, HCCS: LinkHealth, MCU: ControllerHeat, Ports: true,
		Releases: []Release{{"23.0.0", "7.1.0.3.220"}, {"23.0.3", "7.1.0.5.220"}},
		buses:    []string{"61", "3B", "DB", "B2", "62", "3C", "DC", "B3"},
	},
	{
		Model: A5, Chip: "950", DeviceID: "0xd806", Name: "Ascend950PR", LongName: "Ascend950PR",
		HBM: 114688, NPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, Chips: 1, Server: true,
		Product: "Atlas 350", Layout: LayoutH, CardsOnly: true, Described: true, Ports: true,
		Releases: []Release{{"25.7.rc1", "7.8.0.6.201"}, {"26.0.rc1", "7.8.0.7.220"}},
		buses:    []string{"71", "41", "C1", "81", "72", "42", "C2", "82"},
	},
}

var releases310P = []Release{
	{"24.1.0.1", "7.5.0.5.220"}, {"24.1.1.1", "7.5.0.5.220"}, {"25.3.rc1", "7.8.0.2.212"},
}

// Models lists every model New knows.
func Models() []Model {
	var all []Model
	for _, p := range profiles {
		all = append(all, p.Model)
	}
	return all
}

// Profile is the model's description; an unknown model is an error that lists the known ones.
func (m Model) Profile() (Profile, error) {
	i := slices.IndexFunc(profiles, func(p Profile) bool { return p.Model == m })
	if i < 0 {
		return Profile{}, fmt.Errorf("fakehost: no model %q, there are %v", m, Models())
	}
	return profiles[i], nil
}

// odd are as many ids, with a gap before each.
func odd(ids []int) []int {
	sparse := make([]int, len(ids))
	for i := range sparse {
		sparse[i] = 2*i + 1
	}
	return sparse
}

// chips lays out the chips of a host of this profile, all running r.
func (p Profile) chips(r Release) []Chip {
	var all []Chip
	for n, npu := range p.NPUs {
		for c := range p.Chips {
			logic := n*p.Chips + c
			all = append(all, Chip{
				NPU: npu, Chip: c, Logic: logic, BusID: "0000:" + p.buses[logic] + ":00.0",
				Serial: fmt.Sprintf("1024%s%06d", p.DeviceID[2:], 800+npu), Running: r, Health: OK,
			})
		}
	}
	return all
}
