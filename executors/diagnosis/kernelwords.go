package diagnosis

import (
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// What a line of the kernel's log says of trouble is found in four steps, as no public
// source lists the driver's lines:
//
//  1. What is no statement of the driver's goes: a line of another that only names it,
//     the function and the thread that the line is of, the letters of a module's taint,
//     and page faults, which are how memory comes to a process.
//  2. A return value that is an error is trouble, whatever else the line says, and so is
//     a counter of losses that is not 0. That a wait begins again, or that a call is
//     not supported, is no error.
//  3. What has a word of failure and is no failure goes: a counter that is 0, a setting,
//     the name of a thing ("error handler"), a negation ("no error"), a planned reset, a
//     state that is over, the resources of a process.
//  4. A word of failure that is left is trouble. No other word takes it back: a line may
//     say "success" of one thing and "error" of another.
func isTrouble(line string) bool {
	if unsigned.MatchString(line) || ofOthers.MatchString(line) {
		return false
	}
	return marked.MatchString(line) || saysTrouble(pageFault.ReplaceAllString(origin.ReplaceAllString(line, " "), " "))
}

var (
	// A line that the driver itself marks as an error is one, whatever it says.
	marked = lazyregexp.New(`\[(?:ERROR|ERR|CRIT(?:ICAL)?|FATAL)\]`)
	// Linux says this of every module that is not signed with its own key.
	unsigned = lazyregexp.New(`module verification failed: signature|loading out-of-tree module|tainting kernel`)
	// What programs say ("systemd[1]: ..."), what an audit says of them, and what the kernel
	// was started with. The caller, "[    T1]", is there if the kernel is built so.
	ofOthers  = lazyregexp.New(`^(?:\[[ .\d]+\]\s*)?(?:\[\s*[TC]\d+\]\s*)?(?:audit: |type=\d+ |(?:Kernel )?[Cc]ommand line: |Unknown kernel command line |[\w.@-]+\[\d+\]: )|\bapparmor="|\bavc:\s+denied\b`)
	pageFault = lazyregexp.New(`(?i)\bpage[ _]?faults?(?:[ _]` + counterWord + `\b)*`)
	// The function with its line, and the thread: "[devdrv_error_check 90] <kworker/0:1:77>".
	origin = lazyregexp.New(`(?:\[\w+ \d+\]|<[^<>]*:[\d,]+>)\s?`)
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
	for _, other := range notFailures {
		said = other.ReplaceAllString(said, " ")
	}
	return failure.MatchString(said)
}

var (
	// "ret=-19", "(ret -19)", "ret:0xffffffed"; what only names an error has one when it
	// is not 0: "errno=5".
	returned  = lazyregexp.New(`(?i)\b(?:ret(?:[ _]?val(?:ue)?|urn(?:ed|s)?(?:[ _]value)?)?|rc|rv|result|status)\s*(?:[=:]|\bis\b)?\s*(-\d+|0x[0-9a-f]+)\b`)
	errorCode = lazyregexp.New(`(?i)\b(?:errno|err(?:or)?(?:[ _]?code)?|fault[ _]?code)\s*(?:[=:]|\bis\b)?\s*(-?\d+|0x[0-9a-f]+)\b`)
)

func returnsError(said string) bool {
	for _, match := range returned.FindAllStringSubmatch(said, -1) {
		if n, ok := signed(match[1]); ok && n < 0 && !harmless(n) {
			return true
		}
	}
	for _, match := range errorCode.FindAllStringSubmatch(said, -1) {
		if n, ok := signed(match[1]); ok && n != 0 && !harmless(n) {
			return true
		}
	}
	return false
}

// harmless reports whether an error only says that a wait was ended by a signal, or begins
// again, EINTR, EAGAIN, ERESTARTSYS, or that a call is not supported, EOPNOTSUPP, ENOTSUPP.
func harmless(n int64) bool { return slices.Contains([]int64{-4, -11, -512, -95, -524}, n) }

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

	lossWord    = `(?:lost|loss|drop(?:ped|s)?|fail(?:ed|ures?|s)?|err(?:ors?)?|exceptions?|offline|disconnect(?:ed|s)?|abnormal|uncorrect(?:able|ed)|faults?|broken|degraded|overheat(?:ed)?)`
	counterWord = `(?:cnt|counts?|num(?:ber)?|times|total|p(?:ac)?ke?ts?|pages?|frames?|events?|bytes)`
	noFigure    = `(?:0x0+|0+(?:\.0+)?|none)\b`
)

// lossCounter is a word of loss with a figure: "lost_count=5", "drop: 2", "failed num 2",
// "timeout count 4". A timeout with no word of counting is a setting.
var lossCounter = lazyregexp.New(`(?i)(?:^|[^a-z])(?:` + lossWord + `(?:(?:[ _]` + counterWord + `){1,2}\s*(?:[=:]|\bis\b)?|\s*[=:])|(?:time_?outs?|heart_?beat(?:[ _]loss)?)[ _]` + counterWord + `\s*(?:[=:]|\bis\b)?)\s*(0x[0-9a-f]+|\d+)\b`)

func countsLosses(said string) bool {
	for _, match := range lossCounter.FindAllStringSubmatch(said, -1) {
		if n, ok := signed(match[1]); ok && n != 0 {
			return true
		}
	}
	return false
}

var (
	offline = lazyregexp.New(`(?i)\b(?:go(?:es|ing)?|went|is|set)?\s*off-?line\b`)
	// A reset takes a device off and back on.
	planned = lazyregexp.New(`(?i)\bhot[- _]?reset\b.*\b(?:begins?|starts?|started|pre|prepar\w+|done|success\w*|succeeded|completed?|finished|online)\b`)

	notFailures = []*lazyregexp.Regexp{
		// A counter or a return value that is 0, before or after its figure.
		lazyregexp.New(`(?i)(?:^|[^a-z])(?:` + lossWord + `|time_?outs?|errno|heart_?beat)(?:[ _](?:code|rate|status|flag|lanes?|` + counterWord + `)){0,2}\s*(?:[=:]|\bis\b)?\s*` + noFigure),
		lazyregexp.New(`(?i)\b(?:0|zero)\s+` + lossWord + `\b`),
		// A setting: "timeout=3000", "timeout to 3000 ms", "mask=0xffffffff".
		lazyregexp.New(`(?i)\btime_?out(?:[ _](?:ms|s|sec|value))?\s*(?:[=:]|\b(?:to|is)\b)\s*\d+`),
		lazyregexp.New(`(?i)\bset(?:ting)?\s+(?:\w+\s+){0,2}time_?outs?\b|\btime_?outs?\s+(?:(?:is|are|was|were)\s+)?(?:set|configured|disabled|enabled)\b|\btime_?out\s+\d+\s*m?s\s+(?:is\s+)?(?:set|configured)\b`),
		lazyregexp.New(`(?i)\b\w*(?:mask|bitmap|flags?|size|limit|max)\s*[=:]\s*0xf+\b`),
		// See harmless.
		lazyregexp.New(`(?i)\b(?:ret|rc|result|err|errno)\s*[=:]?\s*-(?:4|11|512|95|524)\b`),
		// The name of a thing that is there for failures.
		lazyregexp.New(`(?i)\b(?:err(?:ors?)?|exceptions?|faults?|time_?outs?|off-?line|panic|abnormal|fail(?:ure)?|fatal|hang|hung|dead|disconnect(?:ed)?|lost|stuck|heart[ _]?beat|link[ _]?down)` + thingBetween + `{0,2}[ _-]+` +
			`(?:handle(?:rs?)?|handling|callbacks?|cb|notifiers?|notify|threads?|workers?|workqueue|work|timers?|monitor(?:ing)?|detect(?:or|ion)|checker|recorder|list|table|mask|shield(?:ing)?|inject(?:ion)?|threshold|interval|period|queue|buffer|hooks?|ops|policy|config(?:uration)?|mode|rate|level|reporting|isr|manager|subscri\w+)\b`),
		lazyregexp.New(`(?i)\b(?:err(?:or)?|exception|fault|time_?out|off-?line|panic|fatal)` + thingBetween + `+\s+(?:(?:is|are|was|were)\s+)?(?:(?:un)?registered|created|enabled|disabled|unmasked|masked)\b`),
		lazyregexp.New(`(?i)\bfail-over\b|\blog[ _]level\W+(?:(?:is|set|to)\s+)*(?:err(?:or)?|fatal)\b`),
		// What is done about faults, which is not one.
		lazyregexp.New(`(?i)\b(?:get|query|clear|set|read|check)\s+(?:\w+\s+){0,2}faults?\b(?:[ _]\w+)?|\bfaults?` + thingBetween + `[ _]+(?:init|distribut)\w*`),
		// A check for failures that begins or ends.
		lazyregexp.New(`(?i)\b` + lossWord + `[ _]check(?:s|ing)?\s+(?:(?:is|was|has)\s+)?(?:starts?|started|begins?|began|ends?|ended|done|finish(?:ed)?|pass(?:ed)?|ok)\b`),
		// The state before, and a fault that is over: DCMI's fault event has assertion 0 when
		// it is, and severity 0 when it is a hint.
		lazyregexp.New(`(?i)\b(?:last|prev(?:ious)?|old|pre)[ _]?(?:state|status|stat)\s*(?:[=:]|\bis\b)\s*\w+|\bfrom off-?line to on-?line\b`),
		lazyregexp.New(`(?i)\bfault event(?: \w+)?[. ]*\([^)]*\b(?:assertion|severity)\s*[=:]\s*0\b|\bfaults? (?:(?:is|was|has|has been) )?(?:cleared|recovered)\b`),
		// A process that is gone, and what is not there of a process.
		lazyregexp.New(`(?i)\b(?:releas|recycl|reclaim|clean|clear|free|remov|destroy)\w*\b.{0,40}\b(?:lost|dead|hung|abnormal|crashed)\s+(?:process|proc|task|thread|app|session|connection)\w*`),
		lazyregexp.New(`(?i)\b(?:process|proc|pid|tgid|task|thread|file|path|dir(?:ectory)?|vma?|va|addr(?:ess)?|page|memory|session|handle|group|key|config|container|queue)(?: \d+)?\s+(?:(?:is|are|was|do|does|did)\s*)?(?:not|n't)\s+exists?\b|\bnot exists? any\b`),
		// Both states of one thing.
		lazyregexp.New(`(?i)\boff-?line\s*(?:,?\s*(?:then|and|or)\b|->|=>|/|,)\s*(?:back\s+)?on-?line\b|\bon-?line\s*(?:and|or|/|->)\s*off-?line\b`),
		// A negation.
		lazyregexp.New(`(?i)\b(?:no|without(?: any)?|not(?: an?)?|never|free of)\s+(?:` + lossWord + `|time_?outs?|fatal|hung|dead|stuck)\b`),
	}
)

// failure are words of published logs of the driver, and of Linux about a bus.
var failure = lazyregexp.New(`(?i)` + strings.Join([]string{
	`\b(?:abnormal(?:ly|ity)?|unsuccess(?:ful|fully)?|fail(?:ed|s|ures?)?|fatal|err(?:ors?)?|exceptions?|panic(?:ked)?|crash(?:ed|es)?|corrupt(?:ed|ion)?|lockup|overflow(?:ed|s)?)\b`,
	`\b(?:lost|off-?line|hung|hangs?|hanging|dead|stuck|unable|disconnect(?:ed|s)|drop(?:ped|s)? off|loss of|(?:fell|fallen|falls) off|unreachable|surprise (?:link )?(?:down|removal))\b`,
	`\b(?:uncorrect(?:able|ed)|unrecover(?:able|ed))\b`,
	`\btime[d_ -]?\s?outs?\b`,
	`\bnot (?:ready|reachable|respond(?:ing)?|alive|present)\b|n't ready\b`,
	`\bno (?:heart[_ ]?beat|respon[sc]e|reply|answer|ack|such device)\b`,
	`\b(?:(?:do|does|did|could|will|can) ?not|cannot|(?:do|does|did|could|ca)n't) (?:answer|respond|reply|ack|start|boot|come|work|finish|complete|wake|access|read|write|reach|recover|communicate)\b`,
	`\bheart[ _]?beat\b.{0,24}\b(?:not|stopped|miss(?:ed|ing)?|loss)\b`,
	`\b(?:link|lane|port|ts|dev(?:ice)?|npu|chip|card)(?:[ _](?:state|status))?(?: \d+)?[ :=]+(?:is |was |went |goes )?down\b`,
	`\b(?:faults?|faulty|broken|degraded|over-?heat(?:ed|s|ing)|over ?time|unexpectedly|unexpected (?:exit|removal|re(?:set|boot|start)|shut ?down|state|status)|disappear(?:s|ed)?|illegal)\b`,
	`\bnot exists?\b|n't exist\b|\b(?:no|not)[ _]succ(?:ess(?:ful(?:ly)?)?|eed(?:ed)?)?\b`,
	`\b(?:multi|double)[ _-]?bits?[ _-]ecc(?:[ _]\w+)?\s+(?:(?:is|was|has)\s+)?(?:occur\w*|happened|detected|found|reported)\b`,
	`\binvalid (?:\w+ ){0,2}(?:status|state|response|reply|magic)\b|\b(?:status|state)\b.{0,20}\bis invalid\b`,
	`\bdisagrees about version of symbol\b|\bunknown symbol\b`,
	`\b0xf{8}\b`,
}, "|"))
