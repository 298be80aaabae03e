package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// kernelLog looks for trouble of the NPU driver, and of the bus about NPUs, in the
// kernel's log. A line of the driver names one of its modules and says of trouble, see
// isTrouble; one of the bus names an NPU's address, or the port right above one, see
// ofBus; and a tool of the NPUs that waits in the kernel counts, see hungTool.
type kernelLog struct{}

var (
	ofDriver = lazyregexp.New(`(?i)\b(?:ascend|davinci|drv_(?:pcie|devmm|hdc|dms|tsdrv|davinci|seclib|vascend|vpcie)|devmm|hdcdrv|tsdrv|devdrv)|\[(?:drv_\w+|hdc|dms\w*|trs\w*|svm\w*|esched\w*|queue)\]`)

	// A device by any of the driver's numbers, in parentheses or brackets or not: "dev_id=5",
	// "udevid=6", "logic_id: 3", "Device(6)", "davinci0".
	deviceNumber = lazyregexp.New(`(?i)\b(?:(?:local|peer|remote|host|src|dst)_)?(?:[uhlr]?dev(?:ice)?(?:[_ ]?id)?|(?:logic(?:al)?|phy|chip|npu)_?(?:dev_?)?id|davinci)(?:\s*(?:[=:]|\bis\b)\s*|\s+)?[\[(]?(\d{1,3})\b`)
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
	bus := p.npuBus(log)
	found := troubles(log, bus)
	if len(found) == 0 {
		return examined, partly
	}
	return examined, append(partly, kernelFinding(found, p.namesOf(found, bus)))
}

func kernelFinding(found []trouble, names string) Finding {
	var lines []string
	for _, t := range found {
		lines = append(lines, t.line)
	}
	what := fmt.Sprintf("the kernel logged %s of the NPU driver%s, latest: ", count(len(lines), "error"), names)
	const between = " | "
	last := latest(lines)
	room := maxWords - len(what) - (len(last)-1)*len(between)
	for i, line := range last { // what a short line leaves is for the next ones
		last[i] = cut(origin.ReplaceAllString(line, ""), room/(len(last)-i))
		room -= len(last[i])
	}
	return Finding{Warn, what + strings.Join(last, between), "See dmesg on the host; collect logs (DEVICE_LOG_COLLECT) if they come again."}
}

// trouble is a line that says of a trouble with NPUs.
type trouble struct {
	line string
	npus []string // the addresses that it is about
	bar  string   // the address and the BAR that it is about, "" if it is about none
}

func troubles(log string, bus npuBus) []trouble {
	var found []trouble
	records := map[string]string{} // the last severity of each, if it is trouble
	for line := range strings.Lines(log) {
		t := trouble{ascend.Excerpt([]byte(line)), bus.in(line), ""}
		if severity := recordSeverity.FindStringSubmatch(line); severity != nil {
			delete(records, severity[1])
			if severity[2] == "fatal" || severity[2] == "recoverable" {
				records[severity[1]] = t.line
			}
			continue
		}
		ofNPU := len(t.npus) > 0
		tried, device := bar.FindStringSubmatch(line), recordDevice.FindStringSubmatch(line)
		switch {
		case ofNPU && tried != nil && strings.Contains(line, t.npus[0]): // not of the port above
			t.bar = t.npus[0] + tried[0][:len("BAR 0")]
			if tried[1] != "" {
				found = slices.DeleteFunc(found, func(before trouble) bool { return before.bar == t.bar })
				continue
			}
		case ofNPU && device != nil && records[device[1]] != "":
			t.line = records[device[1]] + ", device_id: " + t.npus[0]
		case ofDriver.MatchString(line) && isTrouble(line), ofNPU && ofBus.MatchString(line), hungTool.MatchString(line):
		default:
			continue
		}
		found = append(found, t)
	}
	return found
}

// devicesIn are the numbers of the devices that a line names.
func devicesIn(line string) []int {
	var ids []int
	for _, match := range deviceNumber.FindAllStringSubmatch(pciAddress.ReplaceAllString(line, ""), -1) {
		if id, err := strconv.Atoi(match[1]); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

var varying = lazyregexp.New(`^\[[ .\d]+\]|\d+`)

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
