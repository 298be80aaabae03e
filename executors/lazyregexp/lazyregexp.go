// Package lazyregexp is regular expressions that are compiled when they are first used.
//
// The agent starts a process of its own program for each step of a task. Most of these
// need none of the expressions that tools' answers are read with, and compiling all of
// them takes several times as long as the rest of the start.
package lazyregexp

import (
	"os"
	"regexp"
	"strings"
	"sync"
)

// Regexp is a regular expression. Its methods are those of regexp.Regexp, and as safe for
// concurrent use.
type Regexp struct {
	text    string
	compile func() *regexp.Regexp
}

// New returns the expression of this text (regexp/syntax). One that is none panics: in a
// test at once, as the compiler would refuse it, elsewhere when it is first used.
func New(text string) *Regexp {
	r := &Regexp{text, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
	if strings.HasSuffix(os.Args[0], ".test") {
		r.compile()
	}
	return r
}

// String is the text of the expression.
func (r *Regexp) String() string { return r.text }

// MatchString is that of regexp.Regexp.
func (r *Regexp) MatchString(s string) bool { return r.compile().MatchString(s) }

// FindString is that of regexp.Regexp.
func (r *Regexp) FindString(s string) string { return r.compile().FindString(s) }

// FindStringIndex is that of regexp.Regexp.
func (r *Regexp) FindStringIndex(s string) []int { return r.compile().FindStringIndex(s) }

// FindStringSubmatch is that of regexp.Regexp.
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compile().FindStringSubmatch(s) }

// FindStringSubmatchIndex is that of regexp.Regexp.
func (r *Regexp) FindStringSubmatchIndex(s string) []int {
	return r.compile().FindStringSubmatchIndex(s)
}

// FindAllString is that of regexp.Regexp.
func (r *Regexp) FindAllString(s string, n int) []string { return r.compile().FindAllString(s, n) }

// FindAllStringIndex is that of regexp.Regexp.
func (r *Regexp) FindAllStringIndex(s string, n int) [][]int {
	return r.compile().FindAllStringIndex(s, n)
}

// FindAllStringSubmatch is that of regexp.Regexp.
func (r *Regexp) FindAllStringSubmatch(s string, n int) [][]string {
	return r.compile().FindAllStringSubmatch(s, n)
}

// ReplaceAllString is that of regexp.Regexp.
func (r *Regexp) ReplaceAllString(s, with string) string {
	return r.compile().ReplaceAllString(s, with)
}

// ReplaceAll is that of regexp.Regexp.
func (r *Regexp) ReplaceAll(src, with []byte) []byte { return r.compile().ReplaceAll(src, with) }

// ExpandString is that of regexp.Regexp.
func (r *Regexp) ExpandString(dst []byte, template, src string, match []int) []byte {
	return r.compile().ExpandString(dst, template, src, match)
}

// Match is that of regexp.Regexp.
func (r *Regexp) Match(b []byte) bool { return r.compile().Match(b) }
