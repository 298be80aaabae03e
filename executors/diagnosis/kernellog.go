package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// kernelLog looks for trouble of the NPU driver, and of the bus about NPUs, in the
// kernel's log. A line counts when it names one of the driver's modules and says of
// trouble; see isTrouble.
type kernelLog struct{}

var (
	ofDriver = regexp.MustCompile(`(?i)\b(?:ascend|davinci|drv_(?:pcie|devmm|hdc|dms|tsdrv|davinci|seclib|vascend|vpcie)|devmm|hdcdrv|tsdrv|devdrv)|\[(?:drv_\w+|hdc|dms\w*|trs\w*|svm\w*|esched\w*|queue)\]`)
	ofBus    = regexp.MustCompile(`\bAER: .*(?:Uncorrect|Fatal)|\bAER: .*[Uu]ncorrected`)

	deviceNumber = regexp.MustCompile(`(?i)\b(?:dev(?:ice)?_?id|devid|phy_?id|device|davinci)(?:\s*[=:]\s*|\s+)?(\d{1,3})\b`)
)

// lastLines is how many lines a report has, the latest of each kind.
const lastLines = 3

// maxDevices is how many devices a report names: those of one host.
const maxDevices = 16

func (kernelLog) run(ctx context.Context, p *probe) (string, []Finding) {
	reply, err := p.host.Query(ctx, "dmesg")
	var partly []Finding
	if errors.Is(err, executors.ErrFlood) {
		// The newest lines are missing. The buffer of a large server holds several MiB.
		reply, err = p.host.Query(ctx, "dmesg", "--level", "emerg,alert,crit,err,warn")
		partly = []Finding{{Grade: Info, What: fmt.Sprintf("dmesg has more than %d MiB: only its lines of level warn and above were read", executors.QueryLimit>>20)}}
	}
	switch {
	case errors.Is(err, executors.ErrFlood):
		partly = []Finding{{Grade: Skip, What: fmt.Sprintf("dmesg has more than %d MiB of warnings: the newest were not read", executors.QueryLimit>>20)}}
	case errors.Is(err, executors.ErrNotFound):
		return "dmesg", []Finding{{Grade: Skip, What: "dmesg not found"}}
	case err != nil:
		return "dmesg", []Finding{{Grade: Skip, What: fmt.Sprintf("dmesg: %v", err)}}
	case reply.Code != 0:
		return "dmesg", []Finding{{Grade: Skip, What: fmt.Sprintf("dmesg ended with exit status %d: %s", reply.Code, ascend.Excerpt(reply.Output))}}
	}
	log := string(reply.Output)
	examined := count(strings.Count(strings.TrimSuffix(log, "\n")+"\n", "\n"), "line") + " of dmesg"
	if log == "" {
		examined = "0 lines of dmesg"
	}
	lines := p.troubles(log)
	if len(lines) == 0 {
		return examined, partly
	}
	return examined, append(partly, kernelFinding(lines))
}

func kernelFinding(lines []string) Finding {
	what := fmt.Sprintf("the kernel logged %s of the NPU driver%s, latest: ", count(len(lines), "error"), ofDevices(lines))
	const between = " | "
	last := latest(lines)
	room := maxWords - len(what) - (len(last)-1)*len(between)
	for i, line := range last { // what a short line leaves is for the next ones
		last[i] = cut(origin.ReplaceAllString(line, ""), room/(len(last)-i))
		room -= len(last[i])
	}
	return Finding{Warn, what + strings.Join(last, between), "See dmesg on the host; collect logs (DEVICE_LOG_COLLECT) if they come again."}
}

// troubles are the lines that say of a trouble with NPUs.
func (p *probe) troubles(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		npu := slices.ContainsFunc(p.inventory.Devices, func(d ascend.Device) bool {
			return strings.Contains(strings.ToLower(line), d.Address)
		})
		if ofDriver.MatchString(line) && isTrouble(line) || npu && ofBus.MatchString(line) {
			lines = append(lines, ascend.Excerpt([]byte(line)))
		}
	}
	return lines
}

// ofDevices names the devices that the lines are about, "" if they name none.
func ofDevices(lines []string) string {
	var ids []int
	for _, line := range lines {
		for _, match := range deviceNumber.FindAllStringSubmatch(line, -1) {
			if id, err := strconv.Atoi(match[1]); err == nil && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	switch len(ids) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(", device %d", ids[0])
	}
	var names []string
	for _, id := range ids {
		names = append(names, strconv.Itoa(id))
	}
	if more := len(names) - maxDevices; more > 0 {
		names = append(names[:maxDevices], fmt.Sprintf("and %d more", more))
	}
	return ", devices " + strings.Join(names, ", ")
}

var varying = regexp.MustCompile(`^\[[ .\d]+\]|\d+`)

// latest are the last few lines, of those that differ in figures only the last, in
// their order.
func latest(lines []string) []string {
	seen := map[string]bool{}
	var last []string
	for _, line := range slices.Backward(lines) {
		if kind := varying.ReplaceAllString(line, ""); !seen[kind] && len(last) < lastLines {
			seen[kind] = true
			last = append(last, line)
		}
	}
	slices.Reverse(last)
	return last
}
