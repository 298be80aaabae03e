package tool

import (
	"slices"
	"strconv"

	"devserver-agent/test/fakehost"
)

// components of the firmware in the order of their types.
var components = []string{"nve", "uefi", "imu", "imp"}

// deviceQuestions are the options of upgrade-tool that are asked with a device.
var deviceQuestions = []string{"--status", "--boot_status", "--hw_base_version", "--hot_reset_flag"}

// hostQuestions are those about the host.
var hostQuestions = []string{"--mini_devices", "--phymachflag"}

// upgradeTool plays upgrade-tool --device_index N [--component N] --QUESTION; N is -1
// for all. Its braces look like JSON and are not.
func upgradeTool(c *call, args []string) int {
	if c.state.Place == fakehost.Container {
		c.printf("This command cannot be executed on a VM or container.\n")
		return 1
	}
	if !c.state.Loaded() {
		c.printf("{\"device_id\":-1, \"error\":\"drv init failed\"}\n")
		return 1
	}
	chips := c.state.Visible()
	if device, err := strconv.Atoi(option(args, "--device_index")); err == nil && device >= 0 {
		chips = slices.DeleteFunc(chips, func(chip fakehost.Chip) bool { return chip.Logic != device })
	}
	has := func(flag string) bool { return slices.Contains(args, flag) }
	switch {
	case has(hostQuestions[0]):
		c.printf("{\"mini_devices\":[")
		for i, chip := range chips {
			if i > 0 {
				c.printf(",")
			}
			c.printf("%d", chip.Logic)
		}
		c.printf("]}\n")
	case has(hostQuestions[1]):
		c.printf("{\"device_id\":0, \"phymachflag\":1}\n")
	case has("--version"):
		for _, chip := range chips {
			c.componentVersions(chip, option(args, "--component"))
		}
	case slices.ContainsFunc(deviceQuestions, has):
		for _, chip := range chips {
			switch {
			case has("--status"):
				status := "idle"
				if c.state.Pending.Firmware != "" {
					status = "waitting_restart"
				}
				c.printf("{\"device_id\":%d, \"status\":%s}\n", chip.Logic, status)
			case has("--boot_status"):
				c.printf("{\"device_id\":%d, \"boot_status\":16}\n", chip.Logic)
			case has("--hw_base_version"):
				c.printf("{\"device_id\":%d, \"hw_base_version\":240}\n", chip.Logic)
			default:
				c.printf("{\"device_id\":%d, \"hot_reset_flag\":0}\n", chip.Logic)
			}
		}
	default:
		c.printf("Parameter error.\n")
		return 1
	}
	return 0
}

func (c *call) componentVersions(chip fakehost.Chip, component string) {
	for kind, name := range components {
		if n, err := strconv.Atoi(component); err == nil && n >= 0 && n != kind {
			continue
		}
		version := chip.Running.Firmware
		c.printf("Get component version(%s) succeed for deviceId(%d), componentType(%d).\n", version, chip.Logic, kind)
		c.printf("{\"device_id\":%d, \"component\":%s, \"version\":%s}\n", chip.Logic, name, version)
	}
}
