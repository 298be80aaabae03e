package tool

import "devserver-agent/test/fakehost"

// dmesg prints the kernel's log. The lines of the driver are made up: no public
// source shows real ones.
func dmesg(c *call, _ []string) int {
	c.printf("[    0.000000] Linux version %s\n[   14.201344] ascend_pci 0000:c1:00.0: device enabled\n", fakehost.Kernel)
	if _, on := c.state.Fault(fakehost.KernelErrors); on {
		c.printf("[  812.004101] pcieport 0000:c0:00.0: AER: Uncorrected (Fatal) error received: 0000:c1:00.0\n")
		c.printf("[  812.104177] [ascend] [ERROR] [drv_pcie] davinci0 heartbeat lost, dev_id=0\n")
		c.printf("[  813.000412] usb 1-1: device descriptor read/64, error -71\n")
	}
	return 0
}

// timedatectl prints what systemd's says of the clock.
func timedatectl(c *call, _ []string) int {
	synced := "yes"
	if _, on := c.state.Fault(fakehost.ClockUnsynced); on {
		synced = "no"
	}
	c.printf("               Local time: Mon 2026-03-02 09:20:00 CST\n")
	c.printf("           Universal time: Mon 2026-03-02 01:20:00 UTC\n")
	c.printf("                Time zone: Asia/Shanghai (CST, +0800)\n")
	c.printf("System clock synchronized: %s\n              NTP service: active\n          RTC in local TZ: no\n", synced)
	return 0
}
