package hdk

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"devserver-agent/executors/lazyregexp"
)

const (
	maxLine  = 1024 // bytes of one line that are read
	maxError = 300  // bytes of one complaint
)

var (
	// Control sequences and the strings of titles (ECMA-48 CSI and OSC), and what else
	// begins with an escape.
	terminal    = lazyregexp.New(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]`)
	overwritten = lazyregexp.New(`^\s*[0-9]{1,3}%\s*`)
	stamp       = lazyregexp.New(`^\[(?i:driver|firmware)\]\s*\[[^\]]*\]\s*`)
	// What follows a prompt that has no end of line.
	behindPrompt = lazyregexp.New(`\S[^\n]*?(\[(?i:driver|firmware)\] ?\[[^\]]*\] ?\[)`)
	level        = lazyregexp.New(`^\[(INFO|WARNING|ERROR)\]\s*`)
	progress     = lazyregexp.New(`^upgradePercentage:\s*([0-9]{1,3})%`) // "10%" of the driver, " 0%" of the firmware
	errNumber    = lazyregexp.New(`^ERR_NO:0x[0-9A-Fa-f]+;ERR_DES:\s*`)
	number       = lazyregexp.New(`^ERR_NO:(0x[0-9A-Fa-f]+)`)
	details      = lazyregexp.New(`(?i),?\s*\b(?:details? (?:are )?in|detail in)\s*:?\s*/?(var/log/[A-Za-z0-9._/-]{0,200}[A-Za-z0-9_/-])`)

	succeeded = lazyregexp.New(`(?i)^(?:\S+ )?\S+ package (?:install|upgrade|installed|upgraded) (?:success|successfully|finished)(?:[!.]|$)`)
	needsBoot = lazyregexp.New(`(?i)reboot needed|reboot now or after|check after reboot`)
	immediate = lazyregexp.New(`(?i)takes effect immediately`)
	ofRemoval = lazyregexp.New(`(?i)\buninstallation (?:to take|takes) effect`) // of the former version
	hasFailed = lazyregexp.New(`(?i)^fail(?:ed)?\b|\bfailed$|\bstop installation\b`)
	// routine is what every run prints, whatever comes of it, and what a shell and
	// makeself print of one that is ended.
	routine = lazyregexp.New(`^(?:(?:Start time|End time|LogFile|OperationLogFile): |Do not power off or restart |(?:[A-Z0-9]+ )?checksums are OK\.|Terminated$|Signal caught, cleaning up$)`)
	// What dash and makeself print of a signal, also behind a prompt, and bash.
	signalWords = lazyregexp.New(`(?:Terminated|Signal caught, cleaning up)$`)
	signalled   = lazyregexp.New(`^\S+: line [0-9]+: +[0-9]+ (?:Terminated|Killed)\b`)
	writing     = lazyregexp.New(`(?i)[0-9]\s*%|\b(?:flash|writ|upgrad|updat|burn|eras|programm|synchroni[sz])ing\b`)
	unpacks     = lazyregexp.New(`^(?:Verifying archive|Uncompressing |[0-9]{1,3}% \.\.\.)`)
)

// writesChips reports whether a line sounds as if a firmware's installer were at the
// chips: not every release has upgradePercentage. What makeself prints does not count.
func writesChips(line string) bool { return writing.MatchString(line) && !unpacks.MatchString(line) }

// has reports whether a line has one of some words. It is asked before an expression that
// would go through the whole line: an installer may print megabytes.
func has(line string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(line, word) })
}

// parts cuts a line into its level, "" if it has none, and its text.
func parts(raw []byte) (weight, text string) {
	text = string(raw)
	// What is behind backspaces stands over the rest: makeself writes its percentages so.
	if over := strings.LastIndexByte(text, '\b'); over >= 0 {
		text = overwritten.ReplaceAllString(text[over+1:], "")
	}
	if has(text, "\x1b") {
		text = terminal.ReplaceAllString(text, "")
	}
	text = strings.TrimSpace(text)
	text = stamp.ReplaceAllString(text, "")
	if match := level.FindStringSubmatch(text); match != nil {
		weight, text = match[1], strings.TrimSpace(text[len(match[0]):])
	}
	return weight, text
}

// printable makes a line of foreign text fit to be shown: in one line, without padding.
func printable(line string) string {
	line = strings.Join(strings.Fields(line), " ")
	line = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, line)
	for len(line) > maxError {
		_, size := utf8.DecodeLastRuneInString(line)
		line = line[:len(line)-size]
	}
	return line
}
