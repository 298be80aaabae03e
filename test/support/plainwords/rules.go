package plainwords

import "regexp"

// slots are what a sentence looks like in which a value is missing. A new way to get
// one wrong is a new row, with a text in TestWhatIsWrongIsFound.
var slots = []struct {
	name    string
	pattern *regexp.Regexp
}{
	{"a value is missing before the punctuation", regexp.MustCompile(`[^\s.,;:]\s+[.,;:](?:\s|$)`)},
	{"a value is missing between two spaces", regexp.MustCompile(`\S {2,}\S`)},
	{"an empty quotation", regexp.MustCompile("(?:^|[\\s(:=])(?:\"\"|''|``)(?:[\\s).,;:]|$)")},
	{"empty brackets", regexp.MustCompile(`(?:^|\s)(?:\(\s*\)|\[\s*\])|\(\s|\(, |, \)`)},
	// A number in front of the colon is lspci's: -d 19e5:.
	{"a colon and nothing behind it", regexp.MustCompile(`[^\d:]:\s*(?:[.,;](?:\s|$)|$)`)},
	{"two full stops", regexp.MustCompile(`(?:^|[^.])\.\.(?:\s|$)|[^.]\.[,;:]\s`)},
	{"two commas", regexp.MustCompile(`[,;]\s*[,;]`)},
	{"a format that does not fit its values", regexp.MustCompile(`%!|%[svdqw]\b`)},
	{"a value that is not there", regexp.MustCompile(`<nil>|\bmap\[`)},
}

// opposites are pairs that nobody can follow both of. A text, the remedy beside it
// included, may have one of them.
var opposites = []struct {
	name       string
	one, other *regexp.Regexp
}{
	{"with and without a restart", regexp.MustCompile(`(?i)\bwith is_reboot`), regexp.MustCompile(`(?i)\bwithout is_reboot`)},
	{"with and without force", regexp.MustCompile(`(?i)\b(?:with force\b|force=true (?:upgrades|installs))`), regexp.MustCompile(`(?i)\bwithout force\b|\bforce(?:=true)? (?:does not|cannot|is of no)`)},
	{"another attempt and nothing to do", regexp.MustCompile(`(?i)\bcreate (?:the|a) job\b`), regexp.MustCompile(`(?i)\bnothing (?:is left )?to do\b`)},
	{"a failure of others and an operator's order", regexp.MustCompile(`(?i)\bwhy (?:the others|they) failed\b`), regexp.MustCompile(`(?i)\bjob was (?:cancelled|deleted|stopped)\b`)},
	{"nothing was done and something was", regexp.MustCompile(`(?i)\bnothing was (?:started|changed|installed|begun)\b`), regexp.MustCompile(`(?i)\b(?:was|were) (?:installed again|brought back|written into)\b`)},
	{"again and never again", regexp.MustCompile(`(?i)\bcreate the job again\b`), regexp.MustCompile(`(?i)\b(?:do not|never) create the job again\b`)},
	{"a restart and no restart", regexp.MustCompile(`(?:^|[.;:] )[Rr]estart the host\b`), regexp.MustCompile(`(?i)\b(?:do not|never) restart the host\b`)},
}
