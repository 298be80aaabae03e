package tool

import (
	"strings"

	"devserver-agent/test/fakehost"
)

// ecc prints counters under wider keys than other topics.
func (c *call) ecc(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	c.width = 40
	c.each(chips, chip, func(one fakehost.Chip, _ reading) {
		double := strings.Count(one.Codes, "80E01801")
		if args, on := c.state.Hits(fakehost.ECCErrors, one.NPU); on && one.Chip == args.Int("chip", 0) {
			double = args.Int("count", 3)
		}
		pending := 0
		if args, on := c.state.Hits(fakehost.PagesPending, one.NPU); on {
			pending = args.Int("pages", 2)
		}
		switch {
		case p.ChipFirst:
			c.field("Single-bit Error Count", 0)
			c.field("Double-bit Error Count", double)
			return
		case p.HBM == 0:
			c.bits("DDR", double)
			c.field("DDR Single Bit Next-Isolated Pages Count", 0)
			c.field("DDR Double Bit Next-Isolated Pages Count", pending)
			return
		case p.DDR > 0:
			c.bits("DDR", 0)
		}
		c.bits("HBM", double)
		c.field("HBM Single Bit Next Isolated Pages Count", 0)
		c.field("HBM Double Bit Next Isolated Pages Count", pending)
	})
}

// bits are the counters of one kind of memory.
func (c *call) bits(memory string, double int) {
	c.field(memory+" Single Bit Error Count", 0)
	c.field(memory+" Double Bit Error Count", double)
	c.field(memory+" Single Bit Aggregate Total Err Cnt", 0)
	c.field(memory+" Double Bit Aggregate Total Err Cnt", double)
	c.field(memory+" Single Bit Isolated Pages Count", 0)
	c.field(memory+" Double Bit Isolated Pages Count", double)
}

func (c *call) usages(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	c.each(chips, chip, func(_ fakehost.Chip, r reading) {
		memory := "DDR "
		if p.ChipFirst {
			c.field("Memory Capacity(MB)", p.DDR)
			c.field("Memory Usage Rate(%)", percent(r.ddr, p.DDR))
			memory = ""
		} else {
			c.field("DDR Capacity(MB)", p.DDR)
			c.field("DDR Usage Rate(%)", percent(r.ddr, p.DDR))
		}
		c.field(memory+"Hugepages Total(page)", r.pages)
		c.field(memory+"Hugepages Usage Rate(%)", percent(r.pages, r.pages))
		if p.HBM > 0 {
			c.field("HBM Capacity(MB)", p.HBM)
			c.field("HBM Usage Rate(%)", percent(r.hbm, p.HBM))
		}
		c.field("Aicore Usage Rate(%)", r.core)
		if p.CardsOnly {
			c.field("Aivector Usage Rate(%)", 0)
		}
		c.field("Aicpu Usage Rate(%)", 0)
		c.field("Ctrlcpu Usage Rate(%)", 0)
		switch {
		case p.ChipFirst:
			c.field("Memory Bandwidth Usage Rate(%)", 0)
		case p.CardsOnly:
			c.field("HBM Bandwidth Usage Rate(%)", 0)
			c.field("NPU Utilization(%)", r.core)
			c.field("Aicube Usage Rate(%)", 0)
		case p.HBM == 0:
			c.field("Vectorcore Usage Rate(%)", 0)
			c.field("DDR Bandwidth Usage Rate(%)", 0)
		}
	})
}

func percent(used, of int) int {
	if of == 0 {
		return 0
	}
	return used * 100 / of
}

// common prints its own blocks: a chip's id begins them on every family. It has no
// sentence for a chip that does not answer: that one, and all after it, are zeros.
func (c *call) common(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	if chip >= 0 {
		c.commonOf(p, c.reading(chips[chip]))
		return
	}
	c.head(chips)
	lost := false
	for _, one := range chips {
		if !p.CardsOnly {
			c.field("Chip ID", one.Chip)
		}
		r := c.reading(one)
		if lost = lost || c.silent(one); lost {
			r = reading{power: "0.0"}
		}
		c.commonOf(p, r)
		c.printf("\n")
	}
	heat, watts := 41, "43.7"
	if lost {
		heat, watts = 0, "0.0"
	}
	switch p.MCU {
	case fakehost.NoController:
		return
	case fakehost.UnnamedPower:
		c.field("NPU Real-time Power(W)", watts)
	case fakehost.ControllerRated:
		c.field("Chip Name", "MCU")
		c.field("Temperature(C)", heat)
		c.field("Power Dissipation(W)", watts)
	case fakehost.ControllerHeat, fakehost.ControllerPower:
		c.field("Chip Name", "mcu")
		c.field("Temperature(C)", heat)
		if p.MCU == fakehost.ControllerPower {
			c.field("NPU Real-time Power(W)", watts)
		}
	}
	c.printf("\n")
}

func (c *call) commonOf(p fakehost.Profile, r reading) {
	c.field("Memory Usage Rate(%)", percent(r.ddr, p.DDR))
	if p.HBM > 0 {
		c.field("HBM Usage Rate(%)", percent(r.hbm, p.HBM))
	}
	c.field("Aicore Usage Rate(%)", r.core)
	if !p.CardsOnly && p.MCU != fakehost.ControllerRated {
		highest, now, cores := 1080, 960, 8
		if p.HBM > 0 {
			highest, now, cores = 1650, 1650, 24
		}
		c.field("Aicore Freq(MHZ)", highest)
		c.field("Aicore curFreq(MHZ)", now)
		c.field("Aicore Count", cores)
	}
	c.field("Temperature(C)", r.temperature)
	switch {
	case p.MCU == fakehost.ControllerRated:
		c.field("Rated Power Dissipation(W)", r.power)
	case p.HBM > 0:
		// The table's dash for the second chip of a card is a number here.
		c.field("NPU Real-time Power(W)", strings.Replace(r.power, "-", "0.0", 1))
	}
}

func (c *call) memory(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	c.each(chips, chip, func(fakehost.Chip, reading) {
		memory := "DDR "
		switch {
		case p.ChipFirst:
			memory = ""
		case p.HBM == 0:
			c.field("Total DDR Capacity(MB)", p.DDR)
		}
		c.field(memory+"Capacity(MB)", p.DDR)
		c.field(memory+"Clock Speed(MHz)", 0)
		if p.HBM > 0 {
			c.field("HBM Capacity(MB)", p.HBM)
			c.field("HBM Clock Speed(MHz)", 1600)
			c.field("HBM Temperature(C)", 38)
		}
		if p.HBM > 0 && p.DDR == 0 {
			c.field("HBM Manufacturer ID", "0x56")
		}
	})
}

// temperature has the sensors of the board in the controller's block.
func (c *call) temperature(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	key := "NPU Temperature (C)"
	if p.CardsOnly {
		key = "Temperature (C)"
	}
	c.each(chips, chip, func(_ fakehost.Chip, r reading) { c.field(key, r.temperature) })
	if chip >= 0 || !p.MCU.HasBlock() {
		return
	}
	for _, sensor := range []string{"LM75A_TE", "LM75B_TE"} {
		c.printf("\t%-8s%-22s : %d\n", sensor, " (C)", 36)
	}
	c.field("Chip Name", "MCU")
	c.printf("\n")
}

func (c *call) power(chips []fakehost.Chip, chip int) {
	c.each(chips, chip, func(_ fakehost.Chip, r reading) { c.field("NPU Real-time Power(W)", r.power) })
}

func (c *call) processMemory(chips []fakehost.Chip, chip int) {
	c.each(chips, chip, func(one fakehost.Chip, _ reading) {
		idle := true
		for _, p := range c.state.Processes() {
			if p.NPU == one.NPU && p.Chip == one.Chip {
				c.printf("\tProcess id:%-8dProcess name:%-18sProcess memory(MB):%d\n", p.PID, p.Name, p.Memory)
				idle = false
			}
		}
		if idle {
			c.printf("\tNo process in device.\n")
		}
	})
}
