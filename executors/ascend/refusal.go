package ascend

import (
	"strings"

	"devserver-agent/executors/lazyregexp"
)

// The tools have no one sentence for what is not to be had on a product, in a virtual
// machine or in a container. What they say has a denial and a subject: the place or the
// product that does not allow it, or the command or port that is not there. Words of
// trouble make it a report of trouble, whatever the place.
var (
	unsupported = lazyregexp.New(`(?i)\b(?:(?:not|un|no) ?support(?:ed|s|ing)?|not implemented|` +
		`(?:not|in) ?applicable|(?:does|do) not apply)\b`)
	gone = lazyregexp.New(`(?i)\b(?:lost|time[ds]?[ -]?out|hung|hangs|off-?line|no respon\w+|not respond\w*)\b`)

	denial = lazyregexp.New(`(?i)\b(?:can not|could not|unable to|not able to|` +
		`not (?:be )?(?:allow\w*|available|permit\w*|valid|usable|possible|provided?|enabled|granted|have|has|exist|run|executed|used|work)|` +
		`must not|may not|forbid\w*|forbidden|prohibit\w*|denied|den(?:y|ies)|refused|reject\w*|unavailable|invalid|disabled|restrict\w*|no (?:permission|right|access|privilege)s?|` +
		`instead of|only (?:be )?(?:support\w*|run|execut\w*|used|allowed|available|valid|applicable|for|in|on|by|to|physical|bare)|only[.!]?$|must (?:be )?(?:run|executed|used)|please (?:run|execute|use))(?:\b|$)`)
	place = lazyregexp.New(`(?i)\b(?:vms?|virtual|virtuali[sz]\w+|guests?|hypervisors?|containers?|containeri[sz]ed|dockers?|pods?|vnpus?|` +
		`(?:physical|bare)[ -]?(?:metal|machines?|hosts?|servers?))\b`)
	scope = lazyregexp.New(`(?i)\b(?:(?:this|the current|current) (?:\w+ )?(?:products?|platform|environment|scenarios?|scene|mode|system|os|machine type|models?|form)|` +
		`(?:on|in|for|by|with|under|of) (?:this|these|the current|current|such) (?:\w+ ){0,2}(?:devices?|boards?|cards?|chips?|servers?|hosts?|machines?|hardware))\b`)
	action = lazyregexp.New(`(?i)\b(?:command|function\w*|feature|operation|option|item|tool|query|interface|hccn_tool|npu-smi)\b.{0,40}` +
		`\b(?:(?:can not|unable to|not able to) (?:be )?(?:run|execute\w*|used?|performed)|forbidden|prohibited|disabled|not (?:allowed|permitted|available))\b`)
	notPermitted = lazyregexp.New(`(?i)\boperation (?:is )?not permitted\b`)
	missing      = lazyregexp.New(`(?i)\b(?:(?:no|without|not (?:have|provide|contain|possess)) (?:(?:an?|any|the|this|that|such) ){0,2}` +
		`(?:(?:roce|rdma|network|ethernet|eth|optical|hccs|physical|external|\d+ge?) ){0,2}(?:ports?\b|nics?\b|functions?\b|features?\b|capabilit\w+|(?:roce|rdma)[.!]?$)|` +
		`no such (?:functions?|features?|commands?)\b)`)

	// trouble is what no refusal says: something was tried and went wrong, or may work
	// a moment later.
	trouble = lazyregexp.New(`(?i)\b(?:fail\w*|errors?|abnormal\w*|exception|fault\w*|broken|crash\w*|reset\w*|damaged|corrupt\w*|memory|` +
		`busy|in use|used by|occupied|(?:try|retry) ?(?:it )?(?:again|later)|not (?:ready|found|loaded|started|present)|` +
		`(?:can not|could not|unable to|not able to) (?:be )?(?:open|find|found|reach|read|connect|alloc|init|load|communicat|start|get)\w*|` +
		`invalid (?:\w+ ){0,2}(?:id|index|device|card|chip|argument|parameter)s?|connection|` +
		`(?:link|port|device|card|chip|driver) is (?:down|invalid|unavailable|not available))\b`)
)

// pathName is a file's: what it is called says nothing of the place.
var pathName = lazyregexp.New(`(?:^|\s)[^\s/]*/[^\s/]*/\S*|\s/\S+`)

// refuses reports whether a line says that what was asked for is not to be had here.
func refuses(line string) bool {
	line = clip(pathName.ReplaceAllString(spelledOut(line), " "), maxValue)
	switch {
	case ofTable(line):
		return false // an answer has such values, too
	case gone.MatchString(line):
		return false
	case unsupported.MatchString(line):
		return true // often the reason of a failure in the same line
	case trouble.MatchString(line):
		return false
	}
	return denial.MatchString(line) && (place.MatchString(line) || scope.MatchString(line)) ||
		action.MatchString(line) || missing.MatchString(line) || notPermitted.MatchString(line)
}

// spelledOut is a sentence without short forms: can't and cannot are can not.
func spelledOut(line string) string { return shortForms.Replace(line) }

var shortForms = strings.NewReplacer("annot", "an not", "an't", "an not", "an’t", "an not", "n't", " not", "n’t", " not")
