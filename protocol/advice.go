package protocol

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// adviceWords are the words that a sentence begins with which says what to do.
// Remedies of codes and messages that carry advice of their own keep to them;
// test/support/plainwords sees to it.
var adviceWords = strings.Fields(`Add Allow Ask Check Choose Collect Compare Correct Count Create Do Download Find Follow Free Get Give Have
	Install Look Make Measure Mount Move Name Open Plan Plug Power Put Query Read Reload Remove Repair Repeat Replace Report
	Restart Run See Set Sign Split Start Stop Switch Take Try Undo Uninstall Upgrade Use Wait Write`)

// Advises reports whether a sentence says what to do.
func Advises(sentence string) bool {
	word, _, _ := strings.Cut(sentence, " ")
	return slices.Contains(adviceWords, strings.TrimRight(word, ",.:;"))
}

// Advice is what to do about a code that came with a message: what the message
// itself says to do, else the code's remedy. It is "" without a code, and for a code of
// another version whose message says nothing.
func Advice(code Code, message string) string {
	if code == "" {
		return ""
	}
	remedy := Explain(code).Remedy
	if remedy != "" && strings.Contains(message, remedy) {
		return remedy
	}
	if own := ownAdvice(message); len(own) > 0 {
		return strings.Join(own, " ")
	}
	return remedy
}

// Beside is what of a remedy to print beside a message: nothing where the message
// says what to do already, so that a person reads one advice, once.
func Beside(message, remedy string) string {
	if strings.Contains(message, remedy) || len(ownAdvice(message)) > 0 {
		return ""
	}
	return remedy
}

// adviceClause is how a sentence goes on that says first what happened. These are our
// own phrases: words as "check" or "open" stand behind a colon in errors of tools, too.
var adviceClause = regexp.MustCompile(`[:;] (?:restart it |restart the host |create (?:the|a) job |wait for |see |add /)`)

// ownAdvice has what a message says to do: sentences, or the ends of some.
func ownAdvice(message string) []string {
	var advice []string
	for _, s := range Sentences(message) {
		if Advises(s) {
			advice = append(advice, s)
		} else if at := adviceClause.FindStringIndex(s); at != nil {
			s = s[at[0]+len(": "):]
			advice = append(advice, strings.ToUpper(s[:1])+s[1:])
		}
	}
	return advice
}

// Sentences splits a text at the ends of its lines, and behind a full stop that an
// upper-case letter follows.
func Sentences(text string) []string {
	var all []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	for line := range strings.Lines(text) {
		for at := 0; ; {
			end := strings.Index(line[at:], ". ")
			if end < 0 {
				add(line)
				break
			}
			at += end + len(". ")
			next := strings.TrimLeft(line[at:], " ")
			if first, _ := utf8.DecodeRuneInString(next); unicode.IsUpper(first) {
				add(line[:at])
				line, at = next, 0
			}
		}
	}
	return all
}
