package tool

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"devserver-agent/test/fakehost"
)

// hccnTool plays hccn_tool -i PHY -ITEM -g for the items below. Two calls about one
// chip at a time are one too many.
func hccnTool(c *call, args []string) int {
	const invalidDevice, busy, notSupported, badCommand = 0x2003, 0x300B, 0x300D, 0x1001
	if c.state.Profile().HBM == 0 {
		c.printf("The command is not supported on this product.\n")
		return notSupported
	}
	phy, err := strconv.Atoi(option(args, "-i"))
	if len(args) < 3 || args[0] != "-i" {
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
	text, known := c.port(chip)[args[2]]
	if !known {
		c.printf("Cmd execute failed!\n")
		return badCommand
	}
	c.printf("%s", text)
	return 0
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
	if _, dark := c.state.Hits(fakehost.PortDark, chip.NPU); dark {
		power = "0.0021"
	}
	if _, on := c.state.Hits(fakehost.PortErrors, chip.NPU); on {
		bad, lost = 4711, 3
	}
	if _, none := c.state.Hits(fakehost.NoAddress, chip.NPU); none {
		address, health = "", "Init"
	}
	optical := func(key, value string) string { return fmt.Sprintf("%-21s: %s\n", key, value) }
	history := func(key, value string) string { return fmt.Sprintf("[device %d]%-20s: %s\n", phy, key, value) }
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
		"-link_stat": history("current time", "Mon Mar  2 09:20:00 2026") + history("link up count", itoa(1+lost)) +
			history("link down count", itoa(lost)),
		"-optical": optical("present", present) + optical("Vendor Name", "HUAWEI") + optical("Vendor SN", "033XYZ"+itoa(1000+phy)) +
			optical("temperature", "47 C") + optical("Vcc", "3300.30 mV") + optical("Tx Power0", "1.1420 mW") + optical("Rx Power0", power+" mW"),
	}
}
