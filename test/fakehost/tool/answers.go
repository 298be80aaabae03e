package tool

import (
	"slices"

	"devserver-agent/test/fakehost"
)

// Answers are the questions that the tools answer, as command lines about card and chip 0.
// They follow from the tables by which the tools find their answers.
func Answers() []string {
	asked := []string{"npu-smi -v", "npu-smi info", "npu-smi info -l", "npu-smi info -m", "npu-smi info -t topo"}
	for kind := range queries {
		if kind != "hccs" { // which npu-smi asks of a chip only
			asked = append(asked, "npu-smi info -t "+kind+" -i 0")
		}
		asked = append(asked, "npu-smi info -t "+kind+" -i 0 -c 0")
	}
	for action := range upgrades {
		asked = append(asked, "npu-smi upgrade "+action+" mcu -i 0")
	}
	for item := range (&call{}).port(fakehost.Chip{}) {
		asked = append(asked, "hccn_tool -i 0 "+item+" -g")
	}
	asked = append(asked, "upgrade-tool --device_index 0 --component 0 --version")
	for _, option := range deviceQuestions {
		asked = append(asked, "upgrade-tool --device_index 0 "+option)
	}
	for _, option := range hostQuestions {
		asked = append(asked, "upgrade-tool "+option)
	}
	for scene := range scenes {
		asked = append(asked, "ascend-dmi --dg --se "+scene+" -q")
	}
	for name := range tools {
		if !slices.Contains([]string{"npu-smi", "hccn_tool", "upgrade-tool", "ascend-dmi"}, name) {
			asked = append(asked, name)
		}
	}
	slices.Sort(asked)
	return asked
}
