package diagnosis

import (
	"regexp"
	"strconv"
	"strings"
)

// What a line of the kernel's log says of trouble is found in four steps, as no public
// source lists the driver's lines:
//
//  1. What is no statement goes: the function and the thread that the line is of, and
//     the letters of a module's taint.
//  2. A return value that is an error is trouble, whatever else the line says, and so is
//     a counter of losses that is not 0.
//  3. What has a word of failure and is no failure goes: a counter that is 0, a setting,
//     the name of a thing ("error handler"), a negation ("no error"), a planned reset.
//  4. A word of failure that is left is trouble. No other word takes it back: a line may
//     say "success" of one thing and "error" of another.
func isTrouble(line string) bool {
	if unsigned.MatchString(line) {
		return false
	}
	return marked.MatchString(line) || saysTrouble(origin.ReplaceAllString(line, " "))
}

var (
	// A line that the driver itself marks as an error is one, whatever it says.
	marked = regexp.MustCompile(`\[(?:ERROR|ERR|CRIT(?:ICAL)?|FATAL)\]`)
	// Linux says this of every module that is not signed with its own key.
	unsigned = regexp.MustCompile(`module verification failed: signature|loading out-of-tree module|tainting kernel`)
	// The function with its line, and the thread: "[devdrv_error_check 90] <kworker/0:1:77>".
	origin = regexp.MustCompile(`(?:\[\w+ \d+\]|<[^<>]*:[\d,]+>)\s?`)
)

// saysTrouble is the rule for what a line says, after its first step.
func saysTrouble(said string) bool {
	if returnsError(said) || countsLosses(said) {
		return true
	}
	if !failure.MatchString(said) { // most lines: what follows takes longer
		return false
	}
	if planned.MatchString(said) {
		said = offline.ReplaceAllString(said, "")
	}
	for _, harmless := range notFailures {
		said = harmless.ReplaceAllString(said, " ")
	}
	return failure.MatchString(said)
}

var (
	// "ret=-19", "(ret -19)", "ret:0xffffffed"; what only names an error has one when it
	// is not 0: "errno=5".
	returned  = regexp.MustCompile(`(?i)\b(?:ret(?:[ _]?val(?:ue)?|urn(?:ed|s)?(?:[ _]value)?)?|rc|rv|result|status)\s*(?:[=:]|\bis\b)?\s*(-\d+|0x[0-9a-f]+)\b`)
	errorCode = regexp.MustCompile(`(?i)\b(?:errno|err(?:or)?(?:[ _]?code)?)\s*(?:[=:]|\bis\b)?\s*(-?\d+|0x[0-9a-f]+)\b`)
)

func returnsError(said string) bool {
	for _, match := range returned.FindAllStringSubmatch(said, -1) {
		if n, ok := signed(match[1]); ok && n < 0 && !again(n) {
			return true
		}
	}
	for _, match := range errorCode.FindAllStringSubmatch(said, -1) {
		if n, ok := signed(match[1]); ok && n != 0 && !again(n) {
			return true
		}
	}
	return false
}

// again reports whether an error only says that a wait was ended by a signal, or begins
// again: EINTR, EAGAIN, ERESTARTSYS.
func again(n int64) bool { return n == -4 || n == -11 || n == -512 }

// signed is a figure; eight hexadecimal digits are an int's.
func signed(text string) (int64, bool) {
	if digits, hex := strings.CutPrefix(strings.ToLower(text), "0x"); hex {
		n, err := strconv.ParseUint(digits, 16, 64)
		if len(digits) == 8 {
			return int64(int32(uint32(n))), err == nil
		}
		return int64(n), err == nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

const (
	// Words that stand between one of failure and the thing that is there for it.
	thingBetween = `(?:[ _-]+(?:codes?|events?|irq|interrupt|info|log|task|work|reg(?:ister)?|status|state|exit|lock|dump|check))`

	lossWord    = `(?:lost|loss|drop(?:ped|s)?|fail(?:ed|ures?|s)?|err(?:ors?)?|exceptions?|offline|disconnect(?:ed|s)?|abnormal|uncorrect(?:able|ed))`
	counterWord = `(?:cnt|counts?|num(?:ber)?|times|total|p(?:ac)?ke?ts?|pages?|frames?|events?|bytes)`
	noFigure    = `(?:0x0+|0+(?:\.0+)?|none)\b`
)

// lossCounter is a word of loss with a figure: "lost_count=5", "drop: 2", "failed num 2",
// "timeout count 4". A timeout with no word of counting is a setting.
var lossCounter = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:` + lossWord + `(?:(?:[ _]` + counterWord + `){1,2}\s*(?:[=:]|\bis\b)?|\s*[=:])|(?:time_?outs?|heart_?beat(?:[ _]loss)?)[ _]` + counterWord + `\s*(?:[=:]|\bis\b)?)\s*(0x[0-9a-f]+|\d+)\b`)

func countsLosses(said string) bool {
	for _, match := range lossCounter.FindAllStringSubmatch(said, -1) {
		if n, ok := signed(match[1]); ok && n != 0 {
			return true
		}
	}
	return false
}

var (
	offline = regexp.MustCompile(`(?i)\b(?:go(?:es|ing)?|went|is|set)?\s*off-?line\b`)
	// A reset takes a device off and back on.
	planned = regexp.MustCompile(`(?i)\bhot[- _]?reset\b.*\b(?:begins?|starts?|started|pre|prepar\w+|done|success\w*|succeeded|completed?|finished|online)\b`)

	notFailures = []*regexp.Regexp{
		// A counter or a return value that is 0, before or after its figure.
		regexp.MustCompile(`(?i)(?:^|[^a-z])(?:` + lossWord + `|time_?outs?|errno|heart_?beat)(?:[ _](?:code|rate|status|` + counterWord + `)){0,2}\s*(?:[=:]|\bis\b)?\s*` + noFigure),
		regexp.MustCompile(`(?i)\b(?:0|zero)\s+` + lossWord + `\b`),
		// A setting: "timeout=3000", "timeout to 3000 ms", "mask=0xffffffff".
		regexp.MustCompile(`(?i)\btime_?out(?:[ _](?:ms|s|sec|value))?\s*(?:[=:]|\b(?:to|is)\b)\s*\d+`),
		regexp.MustCompile(`(?i)\bset(?:ting)?\s+(?:\w+\s+){0,2}time_?outs?\b|\btime_?outs?\s+(?:(?:is|are|was|were)\s+)?(?:set|configured|disabled|enabled)\b|\btime_?out\s+\d+\s*m?s\s+(?:is\s+)?(?:set|configured)\b`),
		regexp.MustCompile(`(?i)\b\w*(?:mask|bitmap|flags?|size|limit|max)\s*[=:]\s*0xf+\b`),
		// A wait that begins again; see again.
		regexp.MustCompile(`(?i)\b(?:ret|rc|result|err|errno)\s*[=:]?\s*-(?:4|11|512)\b`),
		// The name of a thing that is there for failures.
		regexp.MustCompile(`(?i)\b(?:err(?:ors?)?|exceptions?|time_?outs?|off-?line|panic|abnormal|fail(?:ure)?|fatal|hang|hung|dead|disconnect(?:ed)?|lost|stuck|heart[ _]?beat|link[ _]?down)` + thingBetween + `{0,2}[ _-]+` +
			`(?:handle(?:rs?)?|handling|callbacks?|cb|notifiers?|notify|threads?|workers?|workqueue|work|timers?|monitor(?:ing)?|detect(?:or|ion)|checker|recorder|list|table|mask|shield(?:ing)?|inject(?:ion)?|threshold|interval|period|queue|buffer|hooks?|ops|policy|config(?:uration)?|mode|rate|level|reporting|isr)\b`),
		regexp.MustCompile(`(?i)\b(?:err(?:or)?|exception|time_?out|off-?line|panic|fatal)` + thingBetween + `+\s+(?:(?:is|are|was|were)\s+)?(?:(?:un)?registered|created|enabled|disabled|unmasked|masked)\b`),
		regexp.MustCompile(`(?i)\bfail-over\b|\blog[ _]level\W+(?:(?:is|set|to)\s+)*(?:err(?:or)?|fatal)\b`),
		// Both states of one thing.
		regexp.MustCompile(`(?i)\boff-?line\s*(?:,?\s*(?:then|and|or)\b|->|=>|/|,)\s*(?:back\s+)?on-?line\b|\bon-?line\s*(?:and|or|/|->)\s*off-?line\b`),
		// A negation.
		regexp.MustCompile(`(?i)\b(?:no|without(?: any)?|not(?: an?)?|never|free of)\s+(?:` + lossWord + `|time_?outs?|fatal|hung|dead|stuck)\b`),
	}
)

// failure are words of published logs of the driver, and of Linux about a bus.
var failure = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`\b(?:abnormal(?:ly|ity)?|unsuccess(?:ful|fully)?|fail(?:ed|s|ures?)?|fatal|err(?:ors?)?|exceptions?|panic(?:ked)?|crash(?:ed|es)?|corrupt(?:ed|ion)?|lockup|overflow(?:ed|s)?)\b`,
	`\b(?:lost|off-?line|hung|hangs?|hanging|dead|stuck|unable|disconnect(?:ed|s)|drop(?:ped|s)? off|loss of|(?:fell|fallen|falls) off|unreachable|surprise (?:link )?(?:down|removal))\b`,
	`\b(?:uncorrect(?:able|ed)|unrecover(?:able|ed))\b`,
	`\btime[d_ -]?\s?outs?\b`,
	`\bnot (?:ready|reachable|respond(?:ing)?|alive|present)\b|n't ready\b`,
	`\bno (?:heart[_ ]?beat|respon[sc]e|reply|answer|ack|such device)\b`,
	`\b(?:(?:do|does|did|could|will|can) ?not|cannot|(?:do|does|did|could|ca)n't) (?:answer|respond|reply|ack|start|boot|come|work|finish|complete|wake|access|read|write|reach|recover|communicate)\b`,
	`\bheart[ _]?beat\b.{0,24}\b(?:not|stopped|miss(?:ed|ing)?|loss)\b`,
	`\b(?:link|port)(?:[ _](?:state|status))?[ :=]+(?:is |went |goes )?down\b`,
	`\b0xf{8}\b`,
}, "|"))
