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
// kernel's log. No public source lists the driver's lines, so a line counts when it
// names one of its modules and a trouble; the words are those of published logs.
type kernelLog struct{}

var (
	ofDriver = regexp.MustCompile(`(?i)\b(?:ascend|davinci|drv_(?:pcie|devmm|hdc|dms|tsdrv|davinci|seclib|vascend|vpcie)|devmm|hdcdrv|tsdrv|devdrv)|\[(?:drv_\w+|hdc|dms\w*|trs\w*|svm\w*|esched\w*|queue)\]`)
	ofBus    = regexp.MustCompile(`\bAER: .*(?:Uncorrect|Fatal)|\bAER: .*[Uu]ncorrected`)

	// What says trouble by itself, and what does so unless the line says success or
	// the word is a counter or a setting that comes with a figure.
	grave   = regexp.MustCompile(`(?i)\b(?:abnormal(?:ly|ity)?|unsuccess(?:ful|fully)?|fail(?:ed|s|ure)?|fatal|lost|offline|hung|dead|unable|no heart[_ ]?beat|link (?:is )?down|no respon[sc]e|not respon(?:d|ding)|(?:un|not )reachable)\b|\b0xf{8}\b|\b(?:ret|rc|result|errno)\s*[=:]\s*-\d+\b`)
	trouble = regexp.MustCompile(`(?i)\b(?:error|err|exception|panic|heart[_ ]?beat|time[d ]? ?out)s?\b`)
	// A line that the driver itself marks as an error is one, whatever else it says.
	marked = regexp.MustCompile(`\[(?:ERROR|ERR|CRIT(?:ICAL)?|FATAL)\]`)
	// Linux says this of every module that is not signed with its own key.
	unsigned = regexp.MustCompile(`module verification failed: signature|loading out-of-tree module|tainting kernel`)

	// A word with a figure after it is a counter, as in "lost=0", or a setting, as in
	// "timeout=3000".
	figure  = regexp.MustCompile(`(?i)\b(?:lost|fail(?:ed|ure)?|err(?:or)?|exception|timeout|heart[_ ]?beat|offline|abnormal)(?:[ _](?:cnt|count|num|number|code|status|ms|interval|period|pages?))?\s*(?:[=:]|\bis\b|\b)\s*(?:0x0+|0|none)\b|\btime_?out(?:[ _](?:ms|s|sec))?\s*(?:[=:]|\bto\b)\s*\d+`)
	routine = regexp.MustCompile(`(?i)\b(?:success(?:ful|fully|ed)?|succeed(?:ed)?|ok|normal|init(?:ialized|ialised)?|register(?:ed)?|install(?:ed)?|enabled?|start(?:ed)?|creat(?:e|ed)|resum(?:e|ed)|recover(?:ed)?|without|no)\b`)
	// A wait that a signal ended, or that begins again, is no trouble: EINTR, EAGAIN,
	// ERESTARTSYS.
	repeated = regexp.MustCompile(`(?i)\b(?:ret|rc|result|errno)\s*[=:]\s*-(?:4|11|512)\b`)

	deviceNumber = regexp.MustCompile(`(?i)\b(?:dev(?:ice)?_?id|devid|phy_?id|device|davinci)(?:\s*[=:]\s*|\s+)?(\d{1,3})\b`)
)

// lastLines is how many lines a report has, the latest of each kind.
const lastLines = 3

func (kernelLog) run(ctx context.Context, p *probe) (string, []Finding) {
	reply, err := p.host.Query(ctx, "dmesg")
	switch {
	case errors.Is(err, executors.ErrFlood): // the first megabyte is better than nothing
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
		return examined, nil
	}
	return examined, []Finding{{Warn, fmt.Sprintf("the kernel logged %s of the NPU driver%s, latest: %s", count(len(lines), "error"), ofDevices(lines), strings.Join(latest(lines), " | ")),
		"See dmesg on the host; collect logs (DEVICE_LOG_COLLECT) if they come again."}}
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

func isTrouble(line string) bool {
	if unsigned.MatchString(line) {
		return false
	}
	said := repeated.ReplaceAllString(figure.ReplaceAllString(line, ""), "")
	return marked.MatchString(line) || grave.MatchString(said) || trouble.MatchString(said) && !routine.MatchString(said)
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
