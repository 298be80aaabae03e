package tool

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"devserver-agent/test/fakehost"
)

// hccnTool plays hccn_tool -i PHY -ITEM -g for the items below. Two calls about one
// chip at a time are one too many.
func hccnTool(c *call, args []string) int {
	const invalidDevice, busy, notSupported, badCommand = 0x2003, 0x300B, 0x300D, 0x1001
	p := c.state.Profile()
	switch {
	case c.state.Place == fakehost.VM:
		c.printf("The VM does not support this command.\n")
		return 1
	case !p.Ports:
		c.printf("The command is not supported on this product.\n")
		return notSupported
	}
	phy, err := strconv.Atoi(option(args, "-i"))
	item, right := item(args, p.CardsOnly)
	if !right {
		c.printf("Cmd execute failed!\n")
		return badCommand
	}
	chip, found := c.byLogic(phy)
	if err != nil || !found || !c.state.Loaded() {
		c.printf("Get invalid device id.\n")
		return invalidDevice
	}
	release, alone := c.alone(phy)
	defer release()
	if _, always := c.trip(fakehost.HCCNBusy); always || !alone {
		c.printf("Cmd execute failed! The device is BUSY.\n")
		return busy
	}
	c.linger()
	text, known := c.port(chip)[item]
	if !known {
		c.printf("Cmd execute failed!\n")
		return badCommand
	}
	c.printf("%s", text)
	return 0
}

// item is what is asked: -i PHY -ITEM -g, or on a 950 -g -ITEM -i LOGIC -u DIE -p PORT.
func item(args []string, ports bool) (item string, right bool) {
	if ports {
		if len(args) != 8 || args[0] != "-g" || args[2] != "-i" || args[4] != "-u" || args[6] != "-p" {
			return "", false
		}
		return args[1], true
	}
	if len(args) < 4 || args[0] != "-i" || args[3] != "-g" {
		return "", false
	}
	return args[2], true
}

// alone takes a chip's port for this call.
func (c *call) alone(phy int) (release func(), alone bool) {
	f, err := os.OpenFile(filepath.Join(c.host.Dir(), "run", "hccn-"+itoa(phy)+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return func() {}, false
	}
	return func() { f.Close() }, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

func (c *call) byLogic(logic int) (fakehost.Chip, bool) {
	for _, chip := range c.state.Visible() {
		if chip.Logic == logic {
			return chip, true
		}
	}
	return fakehost.Chip{}, false
}

// port is what each item prints of a chip's port.
func (c *call) port(chip fakehost.Chip) map[string]string {
	phy := chip.Logic
	link, health, present, power, bad, lost := "UP", "Success", "present", "1.1420", 0, 0
	address := fmt.Sprintf("ipaddr:10.20.%d.%d\nnetmask:255.255.255.0\n", phy/8, 10+phy)
	if _, down := c.state.Hits(fakehost.LinkDown, chip.NPU); down {
		link, health, present, power, lost = "DOWN", "Fault", "not present", "0.0000", 1
	}
	limits, flag := true, "0x0"
	if args, dark := c.state.Hits(fakehost.PortDark, chip.NPU); dark {
		power, limits = "0.0021", args.String("limits", "") != "none"
	}
	if args, on := c.state.Hits(fakehost.PortDim, chip.NPU); on {
		power, flag = args.String("mw", "0.2041"), args.String("flag", "0x0")
	}
	if _, on := c.state.Hits(fakehost.PortErrors, chip.NPU); on {
		bad, lost = 4711, 3
	}
	if _, none := c.state.Hits(fakehost.NoAddress, chip.NPU); none {
		address, health = "", "Init"
	}
	optical := func(key, value string) string { return fmt.Sprintf("%-21s: %s\n", key, value) }
	return map[string]string{
		"-link":       "link status: " + link + "\n",
		"-net_health": "net health status: " + health + "\n",
		"-ip":         address,
		"-gateway":    "default gateway:10.20.0.1, Iface:eth" + itoa(phy) + "\n",
		"-netdetect":  "netdetect address: 10.20.0.1\n",
		"-mac":        fmt.Sprintf("mac addr: 44:a1:91:00:00:%02x\n", phy),
		"-fec":        "fec mode: rs FEC mode\n",
		"-speed":      "Speed: 200000 Mb/s\n",
		"-tls":        fmt.Sprintf("dev_id:%d, tls switch[0](0:disable, 1:enable), tls preconfigured[1](0:non-preset, 1:preset)\n", phy),
		"-stat":       fmt.Sprintf("packet statistics:\nmac_tx_mac_pause_num:0\nmac_rx_mac_pause_num:0\nmac_tx_total_pkt_num:120\nmac_rx_total_pkt_num:118\nmac_rx_bad_pkt_num:%d\n", bad),
		"-link_stat":  c.history(chip, lost),
		"-optical": "optical info:\n" + optical("present", present) + optical("Vendor Name", "HUAWEI") + optical("Vendor SN", "033XYZ"+itoa(1000+phy)) +
			optical("temperature", "47 C") + optical("Vcc", "3300.30 mV") + optical("Tx Power0", "1.1420 mW") + optical("Rx Power0", power+" mW") +
			thresholds(limits, flag),
	}
}

// thresholds are the limits and the flags that a transceiver has itself; some have none.
func thresholds(has bool, lost string) string {
	if !has {
		return ""
	}
	var b strings.Builder
	for _, line := range [][2]string{
		{"Vcc High Thres", "3630.00 mV"}, {"Vcc Low Thres", "2970.00 mV"}, {"Temp High Thres", "75 C"}, {"Temp Low Thres", "-5 C"},
		{"TxPower High Thres", "3.1623 mW"}, {"TxPower Low Thres", "0.2818 mW"}, {"RxPower High Thres", "3.1623 mW"}, {"RxPower Low Thres", "0.2239 mW"},
		{"Tx Los Flag", "0x0"}, {"Rx Los Flag", lost}, {"Tx LoL Flag", "0x0"}, {"Rx LoL Flag", "0x0"},
	} {
		fmt.Fprintf(&b, "%-21s: %s\n", line[0], line[1])
	}
	return b.String()
}

// history is what a port remembers of its link, newest first. Some releases do not count
// losses (port_flaps); then only the records tell of them.
func (c *call) history(chip fakehost.Chip, lost int) string {
	var b strings.Builder
	line := func(key, value string) { fmt.Fprintf(&b, "[device %d]%-20s: %s\n", chip.Logic, key, value) }
	record := func(at, change string) {
		fmt.Fprintf(&b, "[device %d]    %s 2026    LINK %s\n", chip.Logic, at, change)
	}
	_, flaps := c.state.Hits(fakehost.PortFlaps, chip.NPU)
	_, down := c.state.Hits(fakehost.LinkDown, chip.NPU)
	line("current time", "Mon Mar  2 09:20:00 2026")
	losses := [][2]string{
		{"Sun Mar  1 14:11:02", "Sun Mar  1 14:10:57"}, {"Sun Mar  1 13:58:31", "Sun Mar  1 13:58:20"}, {"Sun Mar  1 12:22:44", "Sun Mar  1 12:22:39"},
	}[:max(0, min(3, lost-ones(down)))]
	if flaps {
		losses = [][2]string{
			{"Mon Mar  2 09:11:02", "Mon Mar  2 09:10:57"}, {"Mon Mar  2 08:58:31", "Mon Mar  2 08:58:20"}, {"Mon Mar  2 08:22:44", "Mon Mar  2 08:22:39"},
		}
	}
	line("link up count", itoa(1+len(losses)))
	if !flaps {
		line("link down count", itoa(lost))
	}
	fmt.Fprintf(&b, "[device %d]link change records :\n", chip.Logic)
	if down {
		record("Mon Mar  2 09:02:13", "DOWN")
	}
	for _, times := range losses {
		record(times[0], "UP")
		record(times[1], "DOWN")
	}
	record("Sun Mar  1 01:02:11", "UP")
	return b.String()
}

func ones(is bool) int {
	if is {
		return 1
	}
	return 0
}
