package fakehost

import (
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
)

// Release is a driver and the firmware that belongs to it.
type Release struct {
	Driver   string `json:"driver"`
	Firmware string `json:"firmware"`
}

// Profile is what all hosts of a model have in common.
type Profile struct {
	Model    Model
	Chip     string // the chip family in package indexes: 910b, 910_93, 310p, 310b
	DeviceID string // PCI device id, lower case with 0x
	Name     string // as npu-smi info prints it
	LongName string // as npu-smi info -m prints it
	HBM      int    // MB a chip; 0: the chip has DDR only
	DDR      int    // MB a chip
	NPUs     []int  // the ids, in the order of the table
	Chips    int    // chips on each NPU
	Server   bool   // 910-family server: npu-smi and -m print the short forms

	// Releases in the order in which they came out, Releases[0] is what New installs.
	// The pairs are those of the ModelArts bulletins and of published board queries.
	Releases []Release

	buses []string
}

var profiles = []Profile{
	{
		Model: A2, Chip: "910b", DeviceID: "0xd802", Name: "910B2", LongName: "Ascend 910B2",
		HBM: 65536, NPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, Chips: 1, Server: true,
		Releases: []Release{
			{"24.1.0", "7.5.0.2.220"}, {"24.1.0.3", "7.5.0.5.220"}, {"24.1.0.6", "7.5.0.5.220"},
			{"25.0.rc1.1", "7.7.0.1.231"}, {"25.5.2", "7.8.0.7.220"}, {"26.0.rc1", "7.8.0.7.220"},
		},
		buses: []string{"C1", "01", "C2", "02", "81", "41", "82", "42"},
	},
	{
		Model: A3, Chip: "910_93", DeviceID: "0xd803", Name: "Ascend910", LongName: "Ascend910",
		HBM: 65536, NPUs: []int{0, 1, 2, 3, 4, 5, 6, 7}, Chips: 2, Server: true,
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
	},
	{
		Model: Duo310P, Chip: "310p", DeviceID: "0xd500", Name: "310P3", LongName: "Ascend 310P3",
		DDR: 44280, NPUs: []int{8, 16}, Chips: 2, Releases: releases310P,
		buses: []string{"82", "83", "01", "02"},
	},
	{
		Model: B310, Chip: "310b", DeviceID: "0xd107", Name: "310B4", LongName: "Ascend 310B4",
		DDR: 15609, NPUs: []int{0}, Chips: 1,
		Releases: []Release{{"23.0.0", "7.1.0.3.220"}, {"24.1.0", "7.5.0.2.220"}},
		buses:    []string{"01"},
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
