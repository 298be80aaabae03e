package diagnosis

import (
	"slices"
	"strings"
	"testing"
)

func TestTheLastLinesAreShownWhole(t *testing.T) {
	var found []trouble
	for _, line := range []string{
		saysPCIe + "Device is abnormal. (dev_id=6; msg_type=3; common_type=5)",
		saysHDC + "Session is stuck. (devid=6; " + strings.Repeat("x", 300) + ")",
		"[ 7310.000001] [ascend] [devdrv] [devdrv_refresh_aicore_info_work 322] <kworker/u385:2:20911> send_msg unsuccessful. (ret=-19; dev_id=6)",
		"[ 7399.000001] [ascend] [drv_pcie] [devdrv_error_count 1239] <kworker/u385:2:20911> Device is abnormal. (dev_id=7; msg_type=3; common_type=5)",
	} {
		found = append(found, trouble{line: line})
	}
	what := NewOutcome("kernel", kernelFinding(found, "")).Findings[0].What
	at := []int{strings.Index(what, "Session is stuck. (devid=6; xxx"), strings.Index(what, "send_msg unsuccessful. (ret=-19; dev_id=6)"), strings.Index(what, "[ 7399.000001] [ascend] [drv_pcie] Device is abnormal. (dev_id=7; msg_type=3; common_type=5)")}
	if at[0] < 0 || !slices.IsSorted(at) {
		t.Errorf("not all of the last lines, in their order: %q", what)
	}
}
