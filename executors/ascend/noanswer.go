package ascend

import (
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// NoAnswer is a chip that the driver counts and says nothing of.
type NoAnswer struct {
	Chip int    `json:"chip"`
	Said string `json:"said,omitempty"` // the tool's sentence; "" for a chip that is counted and not mentioned
}

func anySaid(chips []NoAnswer) bool {
	return slices.ContainsFunc(chips, func(u NoAnswer) bool { return u.Said != "" })
}

// npu-smi prints a sentence in the place of a chip's block when the chip does not answer,
// such as "Failed to query npu chip: 1 info." On most families the exit status is 0 all
// the same. Releases word it differently; they agree in what went wrong and in the chip.
var (
	failure = lazyregexp.New(`(?i)\b(?:fail(?:ed|s|ure)?|unable|can not|could not|error|` +
		`time(?:d|s)?[ -]?out|unreachable|off-?line|lost|abnormal|` +
		`(?:not|no) (?:be )?(?:respon\w+|answer\w*|reply|exist\w*|ready|available|found|reachable))\b`)
	aboutNPU   = lazyregexp.New(`(?i)^[^\[].*\b(?:npu|chip|info|health|query|get)\b|^(?:query|get|failed)\b`)
	chipNumber = lazyregexp.New(`(?i)\bchip[ _-]?(?:id|index|no\.?|num(?:ber)?)?\s*(?:is\b|[:=#(\[])?\s*(\d{1,5})\b`)
)

// failureOf reports whether a line is a sentence about something that failed, and which
// chip it names. In a field only its key makes it one: an alarm may be about anything.
func failureOf(line string) (failed bool, chip int, named bool) {
	key, _, isField := strings.Cut(line, ":")
	if len(line) > 2*maxValue || ofTable(line) {
		return false, 0, false
	}
	number := chipNumber.FindStringSubmatchIndex(line)
	switch {
	case !failure.MatchString(spelledOut(line)):
		return false, 0, false
	case number == nil:
		return !isField && aboutNPU.MatchString(line), 0, false
	case isField && number[0] >= len(key) && !failure.MatchString(spelledOut(key)), strings.EqualFold(strings.TrimSpace(key), keyChip):
		return false, 0, false
	}
	chip, _ = strconv.Atoi(line[number[2]:number[3]]) // five digits
	return true, chip, true
}
