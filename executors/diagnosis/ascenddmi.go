package diagnosis

import (
	"fmt"
	"regexp"
	"strings"

	"devserver-agent/executors/ascend"
)

// A word is ascend-dmi's grade of one test. What it means to an operator is the user
// guide's of MindX ToolBox and what published reports of runs do about it; a word that
// is not here is not passed.
var dmiWords = map[string]Finding{
	"PASS":           {Grade: Pass},
	"HEALTH":         {Grade: Pass},
	"SKIP":           {Grade: Skip, What: "skipped by " + dmi},
	"GENERAL_WARN":   {Warn, "GENERAL_WARN", "The card may stay in use; watch it, and run the test again at the next maintenance."},
	"IMPORTANT_WARN": {Warn, "IMPORTANT_WARN", "Plan a repair: move long jobs away from the card and have it examined at the next maintenance."},
	"EMERGENCY_WARN": {Fail, "EMERGENCY_WARN", "Take the card out of use and have it repaired."},
	"FAIL":           {Fail, "FAIL", "See the task's output and Huawei's guide to " + dmi + "; have the card repaired if it comes again."},
}

const idleFirst = "Repeat it on an idle host before any repair: stop jobs, containers and monitoring that use NPUs."

var (
	// An item may have its word on the same line.
	itemLine = regexp.MustCompile(`^ {2,8}([A-Za-z][A-Za-z0-9]{1,40})\s*:\s*(?:([A-Z][A-Z_]{2,30})\s*)?$`)
	wordLine = regexp.MustCompile(`^\s+([A-Z][A-Z_]{2,30}|(?i:pass|health|skip|fail))\s*$`)
	// Sentences of a test that was not alone with the NPUs.
	disturbed = regexp.MustCompile(`(?i)\bprocess(?:es)?\b.{0,40}\b(?:seiz|occup|us)(?:ing|ed|y|es)\b|\bresults? (?:may|might|could|can) be (?:affected|inaccurate|distorted|influenced)|\b(?:npu|device|chip|card)s?\b.{0,20}\b(?:is|are) (?:being )?(?:in use|used|occupied|seized|busy)\b`)
)

// dmiItem is what ascend-dmi says of one of its tests.
type dmiItem struct {
	name, word string
	said       []string
}

// judgeScene reads what ascend-dmi prints: groups, in them items, and below each its
// word and more sentences. looked says how many tests those are.
func judgeScene(out []byte, code int) (examined string, found []Finding) {
	var items []dmiItem
	doubtful := false // of all: the sentence is not below one of them
	for line := range ascend.Lines(out) {
		if match := itemLine.FindStringSubmatch(line); match != nil {
			items = append(items, dmiItem{name: match[1], word: match[2]})
			continue
		}
		if len(items) == 0 {
			doubtful = doubtful || disturbed.MatchString(line)
			continue
		}
		item := &items[len(items)-1]
		match := wordLine.FindStringSubmatch(line)
		switch text := strings.TrimSpace(line); {
		case match != nil:
			item.word = worseWord(item.word, strings.ToUpper(match[1]))
		case text != "":
			item.said = append(item.said, strings.TrimSuffix(strings.TrimSpace(strings.TrimLeft(text, "*")), "."))
		}
	}
	passed, failed, tests := 0, false, 0
	for _, item := range items {
		f, any := item.judge(doubtful)
		if any {
			tests++
		}
		switch {
		case !any:
		case f.Grade == Pass:
			passed++
		default:
			found = append(found, f)
			failed = failed || f.Grade == Fail
		}
	}
	if code != 0 && !failed {
		found = append(found, Finding{Fail, fmt.Sprintf("%s ended with exit status %d: %s", dmi, code, ascend.Excerpt(out)), "See the task's output."})
	}
	if passed == 0 && len(found) == 0 {
		found = append(found, Finding{Fail, dmi + " says nothing of any test: " + ascend.Excerpt(out), "See the task's output."})
	}
	return count(tests, "test") + " of " + dmi, found
}

// worseWord is the worse of two words of one item, which may have one for each device.
// One that is not known is the worst.
func worseWord(a, b string) string {
	first, known := dmiWords[a]
	second, also := dmiWords[b]
	switch {
	case a == "", known && !also, known && also && severity[second.Grade] > severity[first.Grade]:
		return b
	}
	return a
}

// judge grades an item; any is false for a heading without a word.
func (item dmiItem) judge(doubtful bool) (f Finding, any bool) {
	f, known := dmiWords[item.word]
	switch {
	case known:
	case item.word == "" && len(item.said) == 0:
		return Finding{}, false
	case item.word == "":
		f = Finding{Fail, "no result", dmiWords["FAIL"].Do}
	default:
		f = Finding{Fail, item.word + ", a word that this version does not know, so the test counts as not passed", dmiWords["FAIL"].Do}
	}
	said := strings.Join(item.said, ", ")
	f.What = item.name + ": " + f.What
	if said != "" {
		f.What += ", " + said
	}
	if (doubtful || disturbed.MatchString(said)) && (f.Grade == Fail || f.Grade == Warn) {
		f.What = item.name + ": the result is doubtful, as the NPU was in use: " + strings.TrimPrefix(f.What, item.name+": ")
		f.Do = idleFirst
	}
	return f, true
}
