package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// kernelLog looks for errors of the NPU driver, and of the bus about NPUs, in the
// kernel's log. No public source lists the driver's lines, so a line counts when it
// names one of its modules and a trouble.
type kernelLog struct{}

var (
	ofDriver = regexp.MustCompile(`(?i)\b(?:ascend|davinci|drv_(?:pcie|devmm|hdc|dms|tsdrv|davinci)|devmm|hdcdrv|tsdrv|devdrv)`)
	trouble  = regexp.MustCompile(`(?i)\b(?:error|err|fail(?:ed|ure)?|fatal|lost|time(?:d )?out|hung|panic)\b`)
	ofBus    = regexp.MustCompile(`\bAER: .*(?:Uncorrect|Fatal)|\bAER: .*[Uu]ncorrected`)
)

// lastLines is how many lines a report has, the latest.
const lastLines = 3

func (kernelLog) look(ctx context.Context, s *survey) []Finding {
	reply, err := s.host.Query(ctx, "dmesg")
	switch {
	case errors.Is(err, executors.ErrFlood): // the first megabyte is better than nothing
	case errors.Is(err, executors.ErrNotFound):
		return []Finding{{Grade: Skip, What: "dmesg not found"}}
	case err != nil:
		return []Finding{{Grade: Skip, What: fmt.Sprintf("dmesg: %v", err)}}
	case reply.Code != 0:
		return []Finding{{Grade: Skip, What: fmt.Sprintf("dmesg ended with exit status %d: %s", reply.Code, ascend.Excerpt(reply.Output))}}
	}
	lines := s.troubles(string(reply.Output))
	if len(lines) == 0 {
		return nil
	}
	latest := lines[max(0, len(lines)-lastLines):]
	return []Finding{{Warn, fmt.Sprintf("the kernel logged %d errors of the NPU driver, lately: %s", len(lines), strings.Join(latest, " | ")), "See dmesg on the host; collect logs (DEVICE_LOG_COLLECT) if they come again."}}
}

// troubles are the lines that tell of a trouble with NPUs.
func (s *survey) troubles(log string) []string {
	devices, err := s.node.Devices()
	if err != nil {
		devices = nil // the driver's own lines are found without
	}
	var lines []string
	for line := range strings.Lines(log) {
		npu := false
		for _, d := range devices {
			npu = npu || strings.Contains(strings.ToLower(line), d.Address)
		}
		if ofDriver.MatchString(line) && trouble.MatchString(line) || npu && ofBus.MatchString(line) {
			lines = append(lines, ascend.Excerpt([]byte(line)))
		}
	}
	return lines
}
