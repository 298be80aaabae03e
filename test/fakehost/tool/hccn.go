package tool

import (
	"fmt"
	"strconv"

	"devserver-agent/test/fakehost"
)

// hccnTool plays hccn_tool -i PHY -ITEM -g for the items below.
func hccnTool(c *call, args []string) int {
	const invalidDevice, notSupported, badCommand = 0x2003, 0x300D, 0x1001
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
	fault, down := c.state.Fault(fakehost.LinkDown)
	down = down && chip.NPU == fault.Int("card", c.state.Chips[len(c.state.Chips)-1].NPU)
	text, known := linkTexts(phy, down)[args[2]]
	if !known {
		c.printf("Cmd execute failed!\n")
		return badCommand
	}
	c.printf("%s", text)
	return 0
}

func (c *call) byLogic(logic int) (fakehost.Chip, bool) {
	for _, chip := range c.state.Visible() {
		if chip.Logic == logic {
			return chip, true
		}
	}
	return fakehost.Chip{}, false
}

// linkTexts is what each item prints for a chip whose link is up or down.
func linkTexts(phy int, down bool) map[string]string {
	link, health, present, power := "UP", "Success", "present", "1.1420"
	if down {
		link, health, present, power = "DOWN", "Fault", "not present", "0.0000"
	}
	optical := func(key, value string) string { return fmt.Sprintf("%-21s: %s\n", key, value) }
	return map[string]string{
		"-link":       "link status: " + link + "\n",
		"-net_health": "net health status: " + health + "\n",
		"-ip":         fmt.Sprintf("ipaddr:10.20.%d.%d\nnetmask:255.255.255.0\n", phy/8, 10+phy),
		"-gateway":    "default gateway:10.20.0.1, Iface:eth" + itoa(phy) + "\n",
		"-netdetect":  "netdetect address: 10.20.0.1\n",
		"-mac":        fmt.Sprintf("mac addr: 44:a1:91:00:00:%02x\n", phy),
		"-fec":        "fec mode: rs FEC mode\n",
		"-speed":      "Speed: 200000 Mb/s\n",
		"-tls":        fmt.Sprintf("dev_id:%d, tls switch[0](0:disable, 1:enable), tls preconfigured[1](0:non-preset, 1:preset)\n", phy),
		"-stat":       "packet statistics:\nmac_tx_mac_pause_num:0\nmac_rx_mac_pause_num:0\nmac_tx_total_pkt_num:120\nmac_rx_total_pkt_num:118\nmac_rx_bad_pkt_num:0\n",
		"-link_stat":  fmt.Sprintf("[device %d]current time        : Mon Mar  2 09:20:00 2026\n[device %d]link up count       : 1\n[device %d]link down count     : 0\n", phy, phy, phy),
		"-optical": optical("present", present) + optical("Vendor Name", "HUAWEI") + optical("Vendor SN", "033XYZ"+itoa(1000+phy)) +
			optical("temperature", "47 C") + optical("Vcc", "3300.30 mV") + optical("Tx Power0", power+" mW") + optical("Rx Power0", power+" mW"),
	}
}
