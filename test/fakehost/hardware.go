package fakehost

import (
	"slices"
	"strings"
)

// Knowledge is how sure it is that a tool prints what the fake host prints.
type Knowledge string

// The kinds of knowledge. Zero: the family's tool does not answer, and says so.
const (
	Captured    Knowledge = "captured"    // an answer of a real host was published
	Inferred    Knowledge = "inferred"    // from the vendor's source or manual; nobody published an answer
	Unpublished Knowledge = "unpublished" // nothing public was found: the text is plausible, no more
)

// Question is something that a tool is asked, how sure each family's answer is, and
// where that comes from. docs/hardware.md and the layouts that the tools are tested
// with are made from Questions.
type Question struct {
	Tool, Ask string
	Known     map[Model]Knowledge
	Sources   string
	Note      string // what differs between families and releases; "" if nothing does
}

// The public sources, as Questions name them. Files of the driver package are named below
// npucli (src/custom/dev_prod/user/npucli) and hccn (src/custom/network/hccn).
const (
	npucli    = "source of npu-smi in github hicann/driver, npucli/"
	hccn      = "source of hccn_tool in github hicann/driver, hccn/"
	packaging = "github hicann/driver, scripts/package/custom/driver/common/scripts/"
	manual    = "npu-smi manual of hiascend.com"
	// Fields of common, usages and board of a 910B1, and of its port.
	gpustack = "a log of a 910B1 in github gpustack/gpustack issue 2135"
	// -l of sixteen cards and -t memory of one of their chips.
	skills = "answers in github ascend-ai-coding/awesome-ascend-skills issue 78"
)

// every gives all models one knowledge, but for some.
func every(k Knowledge, but map[Model]Knowledge) map[Model]Knowledge {
	known := map[Model]Knowledge{}
	for _, m := range Models() {
		known[m] = k
		if other, is := but[m]; is {
			known[m] = other
		}
	}
	return known
}

// OfTheSystem are the tools of a fake host that are no vendor's: their manuals say what
// they print.
func OfTheSystem() []string { return []string{"docker", "timedatectl", "journalctl", "rpm", "dpkg"} }

// Knows is how sure it is what a model's tool answers in a place, in the words of the
// layouts.
func (q Question) Knows(m Model, p Place) string {
	switch {
	case q.Known[m] == "":
		return "refused by this family"
	case p == VM && q.Tool == "hccn_tool":
		return "refused in a virtual machine (captured)"
	}
	return string(q.Known[m])
}

func (q Question) String() string { return strings.TrimSpace(q.Tool + " " + q.Ask) }

// About is the question that a command line asks, and whether there is one.
func About(line string) (Question, bool) {
	questions := Questions()
	at := slices.IndexFunc(questions, func(q Question) bool { return q.matches(line) })
	if at < 0 {
		return Question{}, false
	}
	return questions[at], true
}

// matches reports whether a line asks the question: words in capitals stand for any
// word, and words with bars for one of several.
func (q Question) matches(line string) bool {
	asked, words := strings.Fields(line), strings.Fields(q.String())
	if len(asked) != len(words) {
		return false
	}
	for i, word := range words {
		if strings.ToUpper(word) == word && strings.ToLower(word) != word && !strings.HasPrefix(word, "-") {
			continue
		}
		if !slices.Contains(strings.Split(word, "|"), asked[i]) {
			return false
		}
	}
	return true
}
