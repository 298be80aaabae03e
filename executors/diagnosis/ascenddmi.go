package diagnosis

import (
	"cmp"
	"slices"
	"strings"

	"devserver-agent/executors/lazyregexp"
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

// Sentences of a test that was not alone with the NPUs.
var disturbed = lazyregexp.New(`(?i)\bprocess(?:es)?\b.{0,40}\b(?:seiz|occup|us)(?:ing|ed|y|es)\b|\bresults? (?:may|might|could|can) be (?:affected|inaccurate|distorted|influenced)|\b(?:npu|device|chip|card)s?\b.{0,20}\b(?:is|are) (?:being )?(?:in use|used|occupied|seized|busy)\b`)

// plainName is what ascend-dmi calls its tests; see "ascend-dmi --dg -i" in its user guide.
var plainName = lazyregexp.New(`^[A-Za-z][A-Za-z0-9]+$`)

// dmiItem is what ascend-dmi says of one of its tests.
type dmiItem struct {
	name, word string
	indent     int
	said       []string
	doubtful   bool
	// unread is the first sentence of which a PASS must not make one forget.
	unread string
	parent bool // of others that have a result
}

const (
	maxSentences = 8   // of one item
	maxSentence  = 200 // bytes
)

// Sentences below a test that say that something is not there, beyond the words of failure
// that kernels have, too.
var (
	lacks = lazyregexp.New(`(?i)\bno (?:\w+ )?(?:link|network|signal|light|carrier|connection)\b` +
		`|\bnot (?:connected|linked|found|detected|present|reachable|responding|working|up|online)\b` +
		`|\bcan(?:not| not|'t) be (?:reached|opened|read|found|accessed)\b` +
		`|\b(?:link|port|device|card|chip|npu|network|connection|interface)s?(?: [0-9]+)?:? (?:(?:is|are|was|were|went) )?(?:down|offline|lost|missing|gone|absent|broken)\b`)
	// The same of nothing: "no device is missing", "link lost times: 0".
	lacksNothing = lazyregexp.New(`(?i)\b(?:no|none|never|not|0) (?:\w+ ){0,3}(?:down|offline|lost|missing|gone|absent|broken)\b` +
		`|\b(?:lost|missing)(?: \w+)?(?: is| are)?\s*[:=]?\s*(?:0|none)\b`)
)

const nameless = "a test without a name"

// add takes a sentence below the item. A result that stands in it is the item's, too.
func (item *dmiItem) add(sentence string) {
	sentence = cut(strings.TrimSuffix(strings.TrimSpace(sentence), "."), maxSentence)
	if sentence == "" {
		return
	}
	item.doubtful = item.doubtful || disturbed.MatchString(sentence)
	unread := saysTrouble(sentence) || item.name != nameless && lacks.MatchString(lacksNothing.ReplaceAllString(sentence, " "))
	for _, word := range capitals.FindAllString(sentence, -1) {
		switch _, known := dmiWords[word]; {
		case known:
			item.word = worseWord(item.word, word)
		case !slices.Contains(notResults, word):
			unread = true
		}
	}
	if unread && item.unread == "" {
		item.unread = sentence
	}
	if len(item.said) < maxSentences {
		item.said = append(item.said, sentence)
	}
}

// judgeScene reads what ascend-dmi printed.
func judgeScene(out []byte, code int) (examined string, found []Finding) {
	var scene sceneReader
	scene.read(out)
	return scene.judge(code)
}

// worseWord is the worse of two words of one item, which may have one for each device.
// One that is not known is the worst, and no test passed of which a part was skipped.
func worseWord(a, b string) string {
	if a == "" || rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(word string) int {
	f, known := dmiWords[word]
	switch {
	case !known:
		return len(severity)
	case f.Grade == Pass:
		return -1
	}
	return severity[f.Grade]
}

// judge grades an item; any is false for a heading without a result.
func (item dmiItem) judge(doubtful bool) (f Finding, any bool) {
	f, known := dmiWords[item.word]
	said := strings.Join(item.said, ", ")
	unclear := func(result, what string) (Finding, bool) {
		return Finding{Warn, item.name + ": " + result + ", and this version cannot judge what was printed: " + what, "See the task's output and Huawei's guide to " + dmi + "."}, true
	}
	switch {
	case known && f.Grade == Pass && item.unread != "":
		return unclear("the test passed", item.unread)
	case item.word == "" && (item.unread != "" || said != "" && !item.parent) && !(plainName.MatchString(item.name) && item.indent > 0):
		return unclear("no result", cmp.Or(item.unread, said))
	case item.word == "" && item.parent && item.unread != "":
		return unclear("its parts have results", item.unread)
	case known:
	case item.word == "" && (said == "" || item.parent):
		return Finding{}, false
	case item.word == "":
		f = Finding{Fail, "no result", dmiWords["FAIL"].Do}
	default:
		f = Finding{Fail, item.word + ", a word that this version does not know, so the test counts as not passed", dmiWords["FAIL"].Do}
	}
	f.What = item.name + ": " + f.What
	if said != "" {
		f.What += ", " + said
	}
	if (doubtful || item.doubtful) && (f.Grade == Fail || f.Grade == Warn) {
		f.What = item.name + ": the result is doubtful, as the NPU was in use: " + strings.TrimPrefix(f.What, item.name+": ")
		f.Do = idleFirst
	}
	return f, true
}
