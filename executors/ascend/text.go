package ascend

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"devserver-agent/executors/lazyregexp"
)

// Bounds of what is read. They are far above anything the tools print.
const (
	maxText  = 1 << 20 // bytes of one answer or file
	maxValue = 256     // bytes of one value that is kept
	maxCards = 256
)

// ansi matches the terminal sequences that the tools and installers print
// whether or not they write to a terminal (ECMA-48 CSI).
var ansi = lazyregexp.New(`\x1b\[[0-?]*[ -/]*[@-~]`)

// lines yields the lines of text without terminal sequences and line ends. A
// carriage return ends a line too, as progress is rewritten with it; several, and those
// before a line feed, are one line end, as a terminal adds one.
func lines(text []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		rest := string(ansi.ReplaceAll(text, nil))
		for rest != "" {
			line := rest
			if end := strings.IndexAny(rest, "\r\n"); end >= 0 {
				line, rest = rest[:end], strings.TrimLeft(rest[end:], "\r")
				rest = strings.TrimPrefix(rest, "\n")
			} else {
				rest = ""
			}
			if !yield(line) {
				return
			}
		}
	}
}

// Lines yields the lines of a tool's text without terminal sequences and line ends.
func Lines(text []byte) iter.Seq[string] { return lines(text) }

// Field is one "key : value" line, both without the blanks around them.
type Field struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// cutField takes a line apart at its first sep. Lines without one are not
// fields.
func cutField(line, sep string) (Field, bool) {
	key, value, found := strings.Cut(line, sep)
	return Field{Key: strings.TrimSpace(key), Value: strings.TrimSpace(value)}, found
}

// ofTable reports whether a line is a field of a table, whose keys are filled up with
// blanks, and not a sentence with a colon.
func ofTable(line string) bool {
	key, _, ok := strings.Cut(line, ":")
	return ok && (strings.HasSuffix(key, "  ") || strings.HasSuffix(key, "\t"))
}

// named reports whether a field has this name, whatever its case.
func (f Field) named(key string) bool { return strings.EqualFold(f.Key, key) }

// PlainKey is a key in lower case, its letters and digits only: releases differ in the
// blanks and underscores of their keys.
func PlainKey(key string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, key)
}

// sound reports whether the field is fit to be kept and shown.
func (f Field) sound() bool {
	return len(f.Key) <= maxValue && len(f.Value) <= maxValue && printable(f.Key) && printable(f.Value)
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func tooLong(text []byte) error {
	if len(text) > maxText {
		return fmt.Errorf("is %d bytes long, more than %d are not read", len(text), maxText)
	}
	return nil
}

// excerpt is the first line of text that says anything, fit to be shown: at
// most limit bytes, what cannot be printed replaced by dots. It is "" when
// nothing is said.
func excerpt(text []byte, limit int) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	for line := range lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		return clip(line, limit)
	}
	return ""
}

// quote is what text says, fit to be shown as excerpt's: its lines one after the other,
// without the blanks that fill them up.
func quote(text []byte, limit int) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	var said []string
	size := 0
	for line := range lines(text) {
		if words := strings.Fields(line); len(words) > 0 && size <= limit {
			said = append(said, strings.Join(words, " "))
			size += len(said[len(said)-1])
		}
	}
	return clip(strings.Join(said, " / "), limit)
}

// clip makes one line of foreign text fit to be shown.
func clip(line string, limit int) string {
	var shown strings.Builder
	for _, r := range line {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '.'
		}
		if shown.Len()+utf8.RuneLen(r) > limit {
			shown.WriteString("...")
			break
		}
		shown.WriteRune(r)
	}
	return shown.String()
}

// Excerpt is the first line of a tool's text that says anything, shortened and fit to
// be shown, "" when nothing is said.
func Excerpt(text []byte) string { return excerpt(text, maxValue) }
