package tool

import "devserver-agent/test/fakehost"

// reading is what a chip's sensors say.
type reading struct {
	power       string
	temperature int
	core        int // percent
	pages       int // huge pages in use, all of them
	ddr, hbm    int // MB in use
}

// reading makes up steady figures: an idle chip, a chip in use, and zeros for a chip
// in trouble.
func (c *call) reading(chip fakehost.Chip) reading {
	p := c.state.Profile()
	r := reading{power: "91.5", temperature: 41 + chip.Logic%4, hbm: 3311 + chip.Logic}
	if p.HBM > 0 && p.DDR > 0 {
		r.ddr = 938 + chip.Logic
	}
	if p.HBM == 0 {
		r = reading{power: "NA", temperature: 44, ddr: 1701 + chip.Logic}
	}
	if p.Layout == fakehost.LayoutA {
		r.power = "12.8"
	}
	if p.Model == fakehost.A3 {
		r = reading{power: "171.4", temperature: 35 - chip.Chip, hbm: 3402 - 212*chip.Chip}
		if chip.Chip > 0 {
			r.power = "-"
		}
	}
	if c.silent(chip) || chip.Health == fakehost.Alarm || chip.Health == fakehost.Critical || chip.Health == fakehost.Unknown {
		r = reading{power: "0.0"}
	}
	for _, process := range c.state.Processes() {
		if process.NPU == chip.NPU && process.Chip == chip.Chip {
			r.core, r.pages, r.temperature = 87, 15, 58
			r.hbm = min(p.HBM, r.hbm+process.Memory)
			if p.HBM == 0 {
				r.ddr = min(p.DDR, r.ddr+process.Memory)
			}
		}
	}
	if args, held := c.state.Hits(fakehost.MemoryHeld, chip.NPU); held {
		r.core = args.Int("cores", 0)
		if p.HBM > 0 {
			r.hbm = p.HBM*args.Int("percent", 89)/100 + 1
		} else {
			r.ddr = p.DDR*args.Int("percent", 89)/100 + 1
		}
	}
	if args, hot := c.state.Hits(fakehost.CardHot, chip.NPU); hot && chip.Chip == args.Int("chip", chip.Chip) {
		r.temperature = args.Int("celsius", 98)
	}
	return r
}
