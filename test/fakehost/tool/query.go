package tool

import (
	"slices"
	"strings"

	"devserver-agent/test/fakehost"
)

// queries are the answers about a card, by the type that npu-smi info -t is given.
var queries = map[string]func(*call, []fakehost.Chip, int){
	"board": (*call).board, "health": (*call).health, "ecc": (*call).ecc, "usages": (*call).usages, "common": (*call).common,
	"memory": (*call).memory, "temp": (*call).temperature, "power": (*call).power, "proc-mem": (*call).processMemory, "hccs": (*call).hccs,
}

// query plays npu-smi info -t TYPE -i N [-c C].
func (c *call) query(args []string) int {
	kind := option(args, "-t")
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
	switch {
	case chip >= 0 && c.state.Profile().CardsOnly:
		c.printf("Error parameter of -c\n")
		c.usage()
		return rcInvalid
	case chip >= 0 && c.silent(chips[chip]):
		c.printf("Failed to query %q info.\n", kind)
		return rcCallFailed
	}
	answer(c, chips, chip)
	if chip < 0 && c.lost(kind, chips) {
		c.printf("Failed to query %q info.\n", kind)
		return rcCallFailed
	}
	return 0
}

// lost tells whether a card's answer fails since a chip does not answer. In the source of
// npucli what counts is the last that was asked, which is the MCU where there is one;
// proc-mem minds every chip, and board and common none.
func (c *call) lost(kind string, chips []fakehost.Chip) bool {
	switch {
	case kind == "board" || kind == "common":
		return false
	case kind == "proc-mem":
		return slices.ContainsFunc(chips, c.silent)
	}
	return !c.state.Profile().MCU.HasBlock() && c.silent(chips[len(chips)-1])
}

// health prints the state of a card's chips without codes, or of one chip with them. A
// 950 does both at once.
func (c *call) health(chips []fakehost.Chip, chip int) {
	p := c.state.Profile()
	if chip >= 0 {
		c.field("Health Status", chips[chip].Health)
		c.codes(chips[chip])
		return
	}
	c.each(chips, chip, func(one fakehost.Chip, _ reading) {
		c.field("Health", one.Health)
		if p.CardsOnly {
			c.codes(one)
		}
	})
	if !p.MCU.HasBlock() {
		return
	}
	word := fakehost.OK
	if args, on := c.state.Hits(fakehost.MCUAlarm, chips[0].NPU); on {
		word = fakehost.Health(args.String("health", string(fakehost.Alarm)))
	}
	if c.state.Place != fakehost.Metal {
		word = "NA"
	}
	c.field("Health", word)
	c.field("Chip Name", "MCU")
	c.printf("\n")
}

func (c *call) codes(one fakehost.Chip) {
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

// head begins a card's answer.
func (c *call) head(chips []fakehost.Chip) {
	c.field("NPU ID", chips[0].NPU)
	if !c.state.Profile().CardsOnly {
		c.field("Chip Count", len(chips))
		c.printf("\n")
	}
}

// each prints the head of a card's answer and then one block a chip, which its id begins
// on a 310 and ends elsewhere; of one chip (-c) the block alone.
func (c *call) each(chips []fakehost.Chip, chip int, block func(fakehost.Chip, reading)) {
	if chip >= 0 {
		block(chips[chip], c.reading(chips[chip]))
		return
	}
	c.head(chips)
	p := c.state.Profile()
	for _, one := range chips {
		if p.ChipFirst {
			c.field("Chip ID", one.Chip)
		}
		silent := c.silent(one)
		if !silent {
			block(one, c.reading(one))
		}
		if !p.ChipFirst && !p.CardsOnly {
			c.field("Chip ID", one.Chip)
		}
		if silent {
			c.printf("Failed to query npu chip: %d info.\n", one.Chip)
		}
		c.printf("\n")
	}
}

// silent reports whether a chip does not answer.
func (c *call) silent(one fakehost.Chip) bool {
	args, on := c.state.Hits(fakehost.ChipSilent, one.NPU)
	return on && one.Chip == args.Int("chip", 0)
}
