package diagnosis

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// npuBus is where the NPUs are on the PCI bus. Linux writes addresses in lower case.
type npuBus struct {
	cards map[string]int    // of each address of an NPU; noCard if the driver names no card there
	ports map[string]string // of a port that has one bus below it: how that bus's addresses begin
}

const noCard = -1

const address = `[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]`

var (
	pciAddress = lazyregexp.New(`\b` + address + `\b`)
	// "pci 0000:c1:00.0: [19e5:d802] type 00 class 0x120000": an accelerator of Huawei's.
	npuFound = lazyregexp.New(`\bpci (` + address + `): \[19e5:[0-9a-f]{4}\] type \w+ class 0x1200`)
	// "pci 0000:c0:00.0: PCI bridge to [bus c1]". One with more buses, "[bus c1-c5]", may
	// have other devices below it.
	oneBus = lazyregexp.New(`\b([0-9a-f]{4,}):[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]: pci bridge to (\[bus ([0-9a-f]{2})\])?`)
)

// npuBus finds the NPUs and their ports in sysfs, in what the driver says of its cards, and, as a card
// that is lost may be in neither, in what the kernel logged when it found them.
func (p *probe) npuBus(log string) npuBus {
	bus := npuBus{map[string]int{}, map[string]string{}}
	for line := range strings.Lines(log) {
		line = strings.ToLower(line)
		if found := npuFound.FindStringSubmatch(line); found != nil {
			bus.cards[found[1]] = noCard
		}
		if found := oneBus.FindStringSubmatch(line); found != nil {
			port := pciAddress.FindString(found[0])
			delete(bus.ports, port) // the last line has the bus's present number
			if found[3] != "" {
				bus.ports[port] = found[1] + ":" + found[3] + ":"
			}
		}
	}
	for _, d := range p.inventory.Devices {
		bus.cards[d.Address] = noCard
		if port := portAbove(p.host.Files(), d.Address); port != "" {
			bus.ports[port] = d.Address[:strings.LastIndexByte(d.Address, ':')+1]
		}
	}
	for _, c := range p.cards() {
		if at := c.Board.Bus(); at != "" {
			bus.cards[at] = c.ID
		}
	}
	return bus
}

// portAbove is the address of the port right above a device, by the device's place in
// sysfs: "devices/pci0000:c0/0000:c0:00.0/0000:c1:00.0". It is "" for one on a root bus
// and for one whose place is not known.
func portAbove(files fs.FS, device string) string {
	place, err := fs.ReadLink(files, path.Join("sys/bus/pci/devices", device))
	if err != nil {
		return "" // lines that name only its port are not taken for its own
	}
	above := path.Base(path.Dir(place))
	if pciAddress.FindString(above) != above {
		return ""
	}
	return above
}

// dpcSource is the requester, bus and device and function in 16 bits, that a port was
// contained for.
var dpcSource = lazyregexp.New(`\b([0-9a-f]{4,}):[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]: dpc: .*\bsource:0x([0-9a-f]{4})\b`)

// in are the addresses of the NPUs that a line is about: those it names, and those right
// below a port that it names.
func (b npuBus) in(line string) []string {
	line = strings.ToLower(line)
	named := pciAddress.FindAllString(line, -1)
	if dpc := dpcSource.FindStringSubmatch(line); dpc != nil {
		if id, err := strconv.ParseUint(dpc[2], 16, 16); err == nil {
			named = append(named, fmt.Sprintf("%s:%02x:%02x.%d", dpc[1], id>>8, id>>3&0x1f, id&7))
		}
	}
	var npus []string
	for _, at := range named {
		below, port := b.ports[at]
		for npu := range b.cards {
			if npu == at || port && strings.HasPrefix(npu, below) {
				npus = append(npus, npu)
			}
		}
	}
	slices.Sort(npus)
	return slices.Compact(npus)
}

var (
	// What Linux says when a device on the PCI bus, or its link, fails: AER (before 4.19
	// without that word), DPC, pciehp, power management, and the SMMU. Corrected errors
	// are no trouble.
	ofBus = lazyregexp.New(`(?i)` + strings.Join([]string{
		`\bAER: .*(?:\buncorrect|\bfatal)`, `\bPCIe Bus Error: severity=(?:uncorrect|fatal)`,
		`\bAER: (?:can't recover|device recovery failed)`,
		`\bDPC: (?:containment event|unmasked uncorrect|ERR_)`,
		`\bpciehp: .*\b(?:Link Down|Card not present|surprise)`,
		`\b(?:can't|unable to) change power state\b`, `\b(?:config space|device) inaccessible\b`, `\bgiving up\b`,
		`\bevent 0x[0-9a-f]+ received\b`, `\bevent: [CF]_\w+ client\b`, `\bIO_PAGE_FAULT\b`,
	}, "|"))
	// A memory BAR of an NPU; those from 6 on are its ROM's, its virtual functions' and a
	// bridge's windows, which firmware often leaves no room for. Linux tries more than once.
	bar = lazyregexp.New(`(?i)\bBAR [0-5]\b.*?\b(?:(assigned)|failed to assign|no space|can't assign)\b`)
	// A record of APEI has several lines with one number. What comes last before a device
	// is of its section: "Error 0, type: fatal".
	recordSeverity = lazyregexp.New(`\{(\d+)\}\[Hardware Error\]:\s+(?:event severity|Error \d+, type): (\w+)`)
	recordDevice   = lazyregexp.New(`\{(\d+)\}\[Hardware Error\]:\s+device_id: ` + address)
	// A tool of the NPU's or a thread of its driver that waits in the kernel. Linux has 15
	// bytes of a name.
	hungTool = lazyregexp.New(`\btask (?:npu|hccn_tool|ascend|upgrade-tool|dcmi|davinci|dev_?drv|devmm|hdc|tsdrv|slogd|dmp_daemon|msnpureport)\S*:\d+ blocked for more than\b`)
)

// namesOf names the devices, and the cards and addresses on the bus, that the lines are
// about, "" if they name none.
func (p *probe) namesOf(found []trouble, bus npuBus) string {
	var devices, cards []int
	var addresses []string
	for _, t := range found {
		devices = append(devices, devicesIn(t.line)...)
		for _, at := range t.npus {
			if card := bus.cards[at]; card == noCard {
				addresses = append(addresses, at)
			} else {
				cards = append(cards, card)
			}
		}
	}
	if p.numbersAgree() {
		cards = slices.DeleteFunc(cards, func(card int) bool { return slices.Contains(devices, card) })
	}
	return list("device ", "devices ", devices) + list("card ", "cards ", cards) + list("", "", addresses)
}

// numbersAgree reports whether a card's number is its device's: the driver counts chips
// from 0 in the order of its cards.
func (p *probe) numbersAgree() bool {
	for i, card := range p.cards() {
		if card.ID != i || card.Chips != 1 {
			return false
		}
	}
	return true
}

// list is ", " and the things in their order, each once.
func list[T cmp.Ordered](one, several string, things []T) string {
	set := map[T]bool{}
	for _, thing := range things {
		set[thing] = true
	}
	var names []string
	for _, thing := range slices.Sorted(maps.Keys(set)) {
		names = append(names, fmt.Sprint(thing))
	}
	switch more := len(names) - maxDevices; {
	case len(names) == 0:
		return ""
	case len(names) == 1:
		return ", " + one + names[0]
	case more > 0:
		names = append(names[:maxDevices], fmt.Sprintf("and %d more", more))
	}
	return ", " + several + strings.Join(names, ", ")
}
