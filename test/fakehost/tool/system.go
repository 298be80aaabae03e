package tool

import (
	"os"
	"path/filepath"
	"time"

	"devserver-agent/test/fakehost"
)

// dmesg prints the kernel's log. The lines of the driver are made up: no public
// source shows real ones.
func dmesg(c *call, _ []string) int {
	c.printf("[    0.000000] Linux version %s\n[   14.201344] ascend_pci 0000:c1:00.0: device enabled\n", fakehost.Kernel)
	c.printf("[   15.003127] [ascend] [drv_pcie] [drv_pcie_probe 402] Probe success. (dev_id=0; heartbeat timeout=3000)\n")
	c.printf("[   61.770215] [ascend] [hdc] [hdcdrv_release 88] The process has exited. (pid=4121; ret=-4)\n")
	if _, on := c.state.Fault(fakehost.KernelErrors); on {
		c.printf("[  812.004101] pcieport 0000:c0:00.0: AER: Uncorrected (Fatal) error received: 0000:c1:00.0\n")
		c.printf("[  812.104177] [ascend] [ERROR] [drv_pcie] davinci0 heartbeat lost, dev_id=0\n")
		c.printf("[  813.000412] usb 1-1: device descriptor read/64, error -71\n")
	}
	if args, on := c.state.Fault(fakehost.KernelLosesCard); on {
		device := args.Int("device", c.state.Chips[len(c.state.Chips)-1].Logic)
		c.printf("[ 9120.441871] [ascend] [drv_pcie] [devdrv_check_dev_status 311] Device is abnormal. (dev_id=%d; status=4)\n", device)
		c.printf("[ 9120.442003] [ascend] [hdc] [hdcdrv_send 1204] Send message unsuccessful. (ret=-19; dev_id=%d)\n", device)
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

// journalctl prints two lines of the agent's journal, the second with what does not
// belong there.
func journalctl(c *call, _ []string) int {
	c.printf("2026-03-02T09:19:58+0800 host devserver-agent[811]: connected to nats://agent:hunter2@10.0.0.5:4222\n")
	c.printf("2026-03-02T09:19:59+0800 host devserver-agent[811]: a step begins\n")
	return 0
}

// msnpureport writes the logs of the devices into a folder in the working folder.
func msnpureport(c *call, _ []string) int {
	if _, hangs := c.trip(fakehost.ReportHangs); hangs {
		time.Sleep(time.Hour)
	}
	for _, chip := range c.state.Visible() {
		dir := filepath.Join("2026-03-02-09-20-00", "slog", "dev-os-"+itoa(chip.Logic))
		err := os.MkdirAll(dir, 0o750)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "device-os.log"), []byte("[INFO] TSDEV(0,tsfw): heartbeat\n"), 0o640)
		}
		if err != nil {
			c.printf("msnpureport: %v\n", err)
			return 1
		}
		c.printf("Export log of device %d to %s finished.\n", chip.Logic, dir)
	}
	return 0
}
