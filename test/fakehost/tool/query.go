package tool

import (
	"fmt"
	"strings"

	"devserver-agent/test/fakehost"
)

// query plays npu-smi info -t TYPE -i N [-c C].
func (c *call) query(args []string) int {
	kind := option(args, "-t")
	queries := map[string]func([]fakehost.Chip, int){
		"board": c.board, "health": c.health, "ecc": c.ecc, "usages": c.usages, "common": c.common,
		"memory": c.memory, "temp": c.temperature, "power": c.power, "proc-mem": c.processMemory, "hccs": c.hccs,
	}
	answer, known := queries[kind]
	if !known && kind != "topo" {
		c.printf("Error parameter of -t\n")
		c.usage()
		return rcInvalid
	}
	refuse := func(a fakehost.Args) bool { return a.String("type", kind) == kind }
	if _, on, err := c.host.Trip(fakehost.NotSupported, refuse); on || err != nil {
		c.printf("This device does not support querying %s.\n", kind)
		return 0
	}
	if kind == "topo" {
		c.topology()
		return 0
	}
	chips, chip, ok := c.selected(args)
	if !ok {
		return rcInvalid
	}
	answer(chips, chip)
	return 0
}

func productName(p fakehost.Profile) string {
	switch p.Model {
	case fakehost.P310:
		return "Atlas 300V Pro"
	case fakehost.Duo310P:
		return "Atlas 300I Duo"
	case fakehost.B310:
		return "Atlas 200I A2"
	}
	return "IT21SK4E"
}

func (c *call) board(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	if chip >= 0 {
		c.chipBoard(p, chips[chip])
		return
	}
	first := chips[0]
	compatible := "OK"
	if !fakehost.InRanges(first.Running.Firmware, c.state.DriverWants) {
		compatible = "NOK"
	}
	c.field("NPU ID", first.NPU)
	c.field("Product Name", productName(p))
	c.field("Model", "NA")
	c.field("Manufacturer", "Huawei")
	c.field("Serial Number", first.Serial)
	c.field("Software Version", first.Running.Driver)
	c.field("Firmware Version", first.Running.Firmware)
	c.field("Compatibility", compatible)
	c.field("Board ID", "0x33")
	if p.Model == fakehost.A3 {
		c.field("Main Board ID", "0x10")
	}
	c.field("PCB ID", "A")
	c.field("BOM ID", 1)
	c.field("PCIe Bus Info", first.BusID)
	c.field("Slot ID", first.NPU)
	c.field("Class ID", "NA")
	c.field("PCI Vendor ID", "0x19E5")
	c.field("PCI Device ID", "0x"+strings.ToUpper(p.DeviceID[2:]))
	c.field("Subsystem Vendor ID", "0x19E5")
	c.field("Subsystem Device ID", "0x4000")
	c.field("Chip Count", len(chips))
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

func (c *call) health(chips []fakehost.Chip, chip int) {
	one := chips[max(chip, 0)]
	c.field("Health Status", one.Health)
	if one.Codes == "" {
		c.field("Error Code", "NA")
		c.field("Error Information", "NA")
		return
	}
	codes := strings.Fields(one.Codes)
	c.field("Error Code", strings.Join(codes, " "))
	for i, code := range codes {
		if i == 0 {
			c.field("Error Information", faultText(code))
			continue
		}
		c.printf("\n\t%-30s : %s\n", "", faultText(code))
	}
}

// faultText is what a code stands for, as far as the public fault list names it.
func faultText(code string) string {
	switch strings.ToUpper(code) {
	case "80E01801":
		return "node type=HBM, sensor type=Memory, event state=multi bit ecc"
	case "80E18402":
		return "node type=HBM, sensor type=Memory, event state=isolated pages exceed the limit"
	}
	return "node type=SoC, sensor type=Chip, event state=fault"
}

func (c *call) ecc(chips []fakehost.Chip, _ int) {
	wide := func(key string, value any) { c.printf("\t%-40s : %v\n", key, value) }
	wide("NPU ID", chips[0].NPU)
	wide("Chip Count", len(chips))
	memory := "DDR"
	if c.state.Profile().HBM > 0 {
		memory = "HBM"
	}
	for _, chip := range chips {
		double, pending := strings.Count(chip.Codes, "80E01801"), 0
		if args, on := c.state.Hits(fakehost.PagesPending, chip.NPU); on {
			pending = args.Int("pages", 2)
		}
		c.printf("\n")
		wide(memory+" Single Bit Error Count", 0)
		wide(memory+" Double Bit Error Count", double)
		wide(memory+" Single Bit Aggregate Total Err Cnt", 0)
		wide(memory+" Double Bit Aggregate Total Err Cnt", double)
		wide(memory+" Single Bit Isolated Pages Count", 0)
		wide(memory+" Double Bit Isolated Pages Count", double)
		wide(memory+" Single Bit Next Isolated Pages Count", 0)
		wide(memory+" Double Bit Next Isolated Pages Count", pending)
		wide("Chip ID", chip.Chip)
	}
}

// each prints the head of a card's query and then one block a chip.
func (c *call) each(chips []fakehost.Chip, chip int, block func(fakehost.Chip, reading)) {
	if chip < 0 {
		c.field("NPU ID", chips[0].NPU)
		c.field("Chip Count", len(chips))
		c.printf("\n")
	}
	for i, one := range chips {
		if chip < 0 || i == chip {
			block(one, c.reading(one))
			c.field("Chip ID", one.Chip)
			c.printf("\n")
		}
	}
}

func (c *call) usages(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	c.each(chips, chip, func(_ fakehost.Chip, r reading) {
		c.field("DDR Capacity(MB)", p.DDR)
		c.field("DDR Usage Rate(%)", percent(r.ddr, p.DDR))
		c.field("DDR Hugepages Total(page)", r.pages)
		c.field("DDR Hugepages Usage Rate(%)", percent(r.pages, r.pages))
		if p.HBM > 0 {
			c.field("HBM Capacity(MB)", p.HBM)
			c.field("HBM Usage Rate(%)", percent(r.hbm, p.HBM))
		}
		c.field("Aicore Usage Rate(%)", r.core)
		c.field("Aicpu Usage Rate(%)", 0)
		c.field("Ctrlcpu Usage Rate(%)", 0)
	})
}

func percent(used, of int) int {
	if of == 0 {
		return 0
	}
	return used * 100 / of
}

func (c *call) common(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	c.each(chips, chip, func(_ fakehost.Chip, r reading) {
		c.field("Memory Usage Rate(%)", percent(r.ddr, p.DDR))
		c.field("HBM Usage Rate(%)", percent(r.hbm, p.HBM))
		c.field("Aicore Usage Rate(%)", r.core)
		c.field("Aicore Freq(MHZ)", 800)
		c.field("Aicore curFreq(MHZ)", 800)
		c.field("Temperature(C)", r.temperature)
		c.field("NPU Real-time Power(W)", r.power)
	})
}

func (c *call) memory(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	c.each(chips, chip, func(fakehost.Chip, reading) {
		c.field("DDR Capacity(MB)", p.DDR)
		c.field("DDR Clock Speed(MHz)", 0)
		if p.HBM > 0 {
			c.field("HBM Capacity(MB)", p.HBM)
			c.field("HBM Clock Speed(MHz)", 1600)
			c.field("HBM Temperature(C)", 38)
			c.field("HBM Manufacturer ID", "0x56")
		}
	})
}

func (c *call) temperature(chips []fakehost.Chip, chip int) {
	c.each(chips, chip, func(_ fakehost.Chip, r reading) { c.field("NPU Temperature (C)", r.temperature) })
}

func (c *call) power(chips []fakehost.Chip, chip int) {
	c.each(chips, chip, func(_ fakehost.Chip, r reading) { c.field("NPU Real-time Power(W)", r.power) })
}

func (c *call) processMemory(chips []fakehost.Chip, chip int) {
	c.each(chips, chip, func(one fakehost.Chip, _ reading) {
		for _, p := range c.state.Processes() {
			if p.NPU == one.NPU && p.Chip == one.Chip {
				c.printf("\tProcess id:%d  Process name:%s  Process memory(MB):%d\n", p.PID, p.Name, p.Memory)
			}
		}
	})
}

// hccs prints the links of one chip to the seven others.
func (c *call) hccs(chips []fakehost.Chip, chip int) {
	if !c.state.Profile().Server {
		c.printf("This device does not support querying hccs.\n")
		return
	}
	health, third := "OK", 4
	if _, down := c.state.Hits(fakehost.HCCSDown, chips[max(chip, 0)].NPU); down {
		health, third = "NOK", 0
	}
	c.field("hccs health status", health)
	c.field("hccs lane mode", fmt.Sprintf("[4 4 %d 4 4 4 4]", third))
	c.field("hccs retry count", "[0 0 0 0 0 0 0]")
}

// topology prints a fully connected machine.
func (c *call) topology() {
	chips := c.state.Visible()
	c.printf("%-10s", "")
	for _, chip := range chips {
		c.printf("%-10s", label(chip))
	}
	c.printf("%s\n", "CPU Affinity")
	for _, row := range chips {
		c.printf("%-10s", label(row))
		for _, column := range chips {
			switch {
			case row.Logic == column.Logic:
				c.printf("%-10s", "X")
			case row.NPU == column.NPU:
				c.printf("%-10s", "SIO")
			case !c.state.Profile().Server:
				c.printf("%-10s", "PHB")
			default:
				c.printf("%-10s", "HCCS")
			}
		}
		c.printf("%d-%d\n", row.Logic*24, row.Logic*24+23)
	}
}

func label(chip fakehost.Chip) string { return "NPU" + itoa(chip.Logic) }
