package tool

import (
	"strings"

	"devserver-agent/test/fakehost"
)

// board plays npu-smi info -t board. Its three forms are those of npu_info_print.c in
// the source of npucli: servers of the 910 family, cards, and cards that are a chip.
func (c *call) board(chips []fakehost.Chip, chip int) {
	p, first := c.state.Profile(), chips[0]
	if chip >= 0 {
		c.chipBoard(p, chips[chip])
		return
	}
	c.field("NPU ID", first.NPU)
	switch {
	case p.CardsOnly:
		c.boardOfCardAndChip(p, first)
	case p.Server:
		c.boardOfServer(p, first)
		c.field("Chip Count", len(chips))
	default:
		c.boardOfCard(p, first)
		c.field("Chip Count", len(chips))
		faulty := "Chip Fault"
		if p.ChipFirst {
			faulty = "Faulty Chip Count"
		}
		c.field(faulty, 0)
	}
}

// boardOfServer names a product only from the 910B on.
func (c *call) boardOfServer(p fakehost.Profile, first fakehost.Chip) {
	if p.Described {
		c.field("Product Name", p.Product)
		c.label(first)
	}
	c.versions(first)
	c.field("Board ID", "0x33")
	if p.Model == fakehost.A3 {
		c.field("Main Board ID", "0x10")
	}
	c.revision()
	c.bus(p, first)
}

func (c *call) boardOfCard(p fakehost.Profile, first fakehost.Chip) {
	c.field("Product Name", p.Product)
	c.label(first)
	c.versions(first)
	c.field("Board ID", "0x33")
	c.revision()
	c.bus(p, first)
}

// boardOfCardAndChip tells of card and chip at once.
func (c *call) boardOfCardAndChip(p fakehost.Profile, first fakehost.Chip) {
	c.field("Product Name", p.Product)
	c.field("NPU Name", p.Name)
	c.field("Chip Name", p.Name)
	c.field("Chip Version", "V1")
	c.label(first)
	c.versions(first)
	c.field("Board ID", "0x33")
	c.field("Main Board ID", "0x10")
	c.revision()
	c.bus(p, first)
	c.field("Chip Count", 1)
	c.printf("\t%-30s : %s\n", "DDie ID", "41C82C00 20A04D4A 5E8D8F14 8C0A140A 9E00303A")
	c.field("Chip Position ID", 0)
}

// label is the card's electronic label.
func (c *call) label(first fakehost.Chip) {
	c.field("Model", "NA")
	c.field("Manufacturer", "Huawei")
	c.field("Serial Number", first.Serial)
}

// versions are what runs on a card. Whether they fit together no 310 tells.
func (c *call) versions(first fakehost.Chip) {
	c.field("Software Version", first.Running.Driver)
	c.field("Firmware Version", first.Running.Firmware)
	if c.state.Model == fakehost.I310 {
		return
	}
	compatible := "OK"
	if !fakehost.InRanges(first.Running.Firmware, c.state.DriverWants) {
		compatible = "NOK"
	}
	c.field("Compatibility", compatible)
}

func (c *call) revision() {
	c.field("PCB ID", "A")
	c.field("BOM ID", 1)
}

// bus is where a card is: on PCI, or on UB, with other keys (the source has them;
// nobody has published an answer).
func (c *call) bus(p fakehost.Profile, first fakehost.Chip) {
	if _, unknown := c.state.Fault(fakehost.FamilyUnknown); unknown {
		c.field("PCIe Bus Info", "NA")
		c.field("Slot ID", first.NPU)
		c.field("Class ID", "NA")
		c.field("Vendor ID", "0xCC08")
		c.field("Device ID", "0xD80A")
		c.field("Module Vendor ID", "0xCC08")
		c.field("Module ID", "0x0001")
		return
	}
	c.field("PCIe Bus Info", first.BusID)
	c.field("Slot ID", first.NPU)
	c.field("Class ID", "NA")
	c.field("PCI Vendor ID", "0x19E5")
	c.field("PCI Device ID", "0x"+strings.ToUpper(p.DeviceID[2:]))
	c.field("Subsystem Vendor ID", "0x19E5")
	c.field("Subsystem Device ID", "0x4000")
}

func (c *call) chipBoard(p fakehost.Profile, chip fakehost.Chip) {
	c.field("NPU ID", chip.NPU)
	c.field("Chip ID", chip.Chip)
	c.field("Chip Type", "Ascend")
	c.field("Chip Name", strings.TrimPrefix(p.Name, "Ascend"))
	c.field("Chip Version", "V1")
	c.field("Board ID", "0x33")
	c.field("PCB ID", "NA")
	c.field("BOM ID", "NA")
	c.field("VDie ID", "41C82C00 20A04D4A 5E8D8F14 8C0A140A 9E00303A")
	c.field("NDie ID", "41C82C00 21204D4A 5E8D8F14 8C0A140A 9E003058")
	c.field("Chip Position ID", chip.Chip)
	c.field("PCIe Bus Info", chip.BusID)
	c.field("Firmware Version", chip.Running.Firmware)
}
