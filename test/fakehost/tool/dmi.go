package tool

import (
	"slices"
	"strings"

	"devserver-agent/test/fakehost"
)

// scenes are ascend-dmi's, with what each of them goes through.
var scenes = map[string][]string{
	"healthCheck":      {"driver", "device", "network", "signalQuality", "hbm"},
	"performanceCheck": {"bandwidth", "aiflops"},
	"stressTest":       {"hbmStress", "bandwidthStress", "aicore", "edp", "tdp", "aicpu"},
}

// ascendDMI plays ascend-dmi --dg --se SCENE -q.
func ascendDMI(c *call, args []string) int {
	const parameter = 0x03
	items, known := scenes[option(args, "--se")]
	if !slices.Contains(args, "--dg") || !known {
		c.printf("Invalid parameter, please run 'ascend-dmi -h'.\n")
		return parameter
	}
	if !slices.Contains(args, "-q") {
		c.printf("The test affects services that run on the NPUs. Continue? (Y/N)\n")
		return 0
	}
	fault, fails := c.state.Fault(fakehost.DMIFails)
	c.printf("Summary:\n    Arch: %s\n    Mode: %s\n    Time: 20260302-09:20:00\nHardware:\n", c.state.Arch, c.state.Profile().LongName)
	for _, item := range items {
		word := "PASS"
		if item == "driver" || item == "device" {
			word = "HEALTH"
		}
		bad := fails && item == fault.String("item", "bandwidth")
		if bad {
			word = fault.String("word", "EMERGENCY_WARN")
		}
		c.printf("    %s:\n        %s\n", item, word)
		if bad {
			c.printf("        %s diagnosis failed on device 0\n", strings.ToLower(item))
			if says := fault.String("says", ""); says != "" {
				c.printf("        *** %s\n", says)
			}
		}
	}
	return 0
}
