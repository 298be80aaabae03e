package diagnosis

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
)

// sceneReader reads what ascend-dmi prints, as it comes: groups, in them items, and below
// each its result and more sentences. It keeps the items that are open and the findings
// about those that ended, a bounded number of each grade, so that hours of output take no
// memory. The zero value is ready to be used.
type sceneReader struct {
	line    []byte   // the one that has not ended
	total   int      // bytes
	unread  bool     // something was cut
	first   string   // the first line that says anything
	head    []string // of the table that is read, nil if it has none
	open    []dmiItem
	tests   int
	passed  int
	results int // items that have a word
	found   map[Grade]int
	pending []dmiItem // that have to wait for what is said of all
	// doubtful says that the NPUs were in use, in a sentence below no item.
	doubtful bool
}

const (
	maxLine  = 4 << 10 // bytes
	maxOpen  = 16      // items within items
	maxItems = 32      // findings of a grade; a report has fewer
)

// read takes the next piece.
func (s *sceneReader) read(piece []byte) {
	s.total += len(piece)
	for len(piece) > 0 {
		end := bytes.IndexAny(piece, "\r\n")
		part := piece
		if end >= 0 {
			part = piece[:end]
		}
		if room := maxLine - len(s.line); len(part) > room {
			part, s.unread = part[:room], true
		}
		s.line = append(s.line, part...)
		if end < 0 {
			return
		}
		s.endLine()
		piece = piece[end+1:]
	}
}

func (s *sceneReader) endLine() {
	for line := range ascend.Lines(s.line) {
		read := readDMILine(line)
		switch {
		case read.cells != nil:
			if isHead(read.cells) {
				s.head = read.cells
			}
			read = read.row(s.head)
		case read.text != "":
			s.head = nil
		}
		s.take(read)
	}
	s.line = s.line[:0]
}

// take sorts a line into the items.
func (s *sceneReader) take(line dmiLine) {
	if line.text == "" {
		return
	}
	if s.first == "" {
		s.first = ascend.Excerpt([]byte(line.text))
	}
	if f, known := dmiWords[line.word]; s.inSummary(line) && !(known && severity[f.Grade] > severity[Pass]) && !saysTrouble(line.text) {
		return
	}
	if line.name == "" && len(s.open) > 0 && line.indent <= s.top().indent && bareHeading.MatchString(line.sentence) {
		line.name, line.sentence = line.sentence, ""
	}
	switch {
	case line.name != "":
		s.closeFrom(line.indent)
		if len(s.open) == maxOpen {
			s.close()
		}
		s.open = append(s.open, dmiItem{name: s.fullName(line), indent: line.indent, word: line.word})
		if line.sentence != "" {
			s.top().add(line.sentence)
		}
	case len(s.open) == 0:
		item := dmiItem{name: nameless, word: line.word, indent: line.indent}
		item.add(line.sentence)
		if item.word != "" || item.unread != "" {
			s.open = append(s.open, item)
		} else {
			s.doubtful = s.doubtful || item.doubtful
		}
	default:
		if line.word != "" && s.top().word != "" && s.open[0].indent < line.indent {
			s.closeFrom(line.indent)
		}
		if line.word != "" {
			s.top().word = worseWord(s.top().word, line.word)
		}
		if line.sentence != "" {
			s.top().add(line.sentence)
		}
	}
}

func (s *sceneReader) top() *dmiItem { return &s.open[len(s.open)-1] }

// inSummary reports whether a line is one about the host: the words in there are names of
// its hardware.
func (s *sceneReader) inSummary(line dmiLine) bool {
	return len(s.open) > 0 && strings.EqualFold(s.open[0].name, "summary") && line.indent > s.open[0].indent
}

// fullName is an item's name, after those of the items that it is in. Groups, at the left
// edge, are left out.
func (s *sceneReader) fullName(line dmiLine) string {
	if len(s.open) > 0 && s.top().indent > 0 {
		return cut(s.top().name+", "+line.name, maxSentence)
	}
	return line.name
}

// closeFrom ends the items that stand as far to the right as a line, or farther.
func (s *sceneReader) closeFrom(indent int) {
	for len(s.open) > 0 && s.top().indent >= indent {
		s.close()
	}
}

// close ends the last open item. What is said below a heading without a result is said of
// the item around it, if this has one.
func (s *sceneReader) close() {
	item := *s.top()
	s.open = s.open[:len(s.open)-1]
	if len(s.open) > 0 {
		around := s.top()
		switch {
		case item.word != "":
			around.parent = true
		case around.word != "":
			for _, sentence := range item.said {
				around.add(sentence)
			}
			return
		}
	}
	if item.word != "" {
		s.results++
	}
	f, any := item.judge(false)
	switch {
	case !any:
		return
	case f.Grade == Pass:
		s.passed++
	case s.found[f.Grade] < maxItems:
		if s.found == nil {
			s.found = map[Grade]int{}
		}
		s.found[f.Grade]++
		s.pending = append(s.pending, item)
	}
	s.tests++
}

// judge ends the reading. code is the exit status of ascend-dmi.
func (s *sceneReader) judge(code int) (examined string, found []Finding) {
	s.endLine()
	s.closeFrom(-1)
	said := s.first
	if noTest := s.results == 0 && s.found[Fail] == 0; noTest && len(s.pending) > 0 {
		// What was printed is no test's; the whole scene has not run.
		said, s.pending, s.tests = cmp.Or(s.pending[0].unread, said), nil, 0
	}
	for _, item := range s.pending {
		f, _ := item.judge(s.doubtful)
		found = append(found, f)
	}
	const see = "See the task's output."
	if code != 0 && s.found[Fail] == 0 {
		found = append(found, Finding{Fail, fmt.Sprintf("%s ended with exit status %d: %s", dmi, code, said), see})
	}
	if s.passed == 0 && len(found) == 0 {
		found = append(found, Finding{Fail, dmi + " says nothing of any test: " + said, see})
	}
	if s.unread || s.total >= executors.WatchLimit {
		found = append(found, Finding{Warn, fmt.Sprintf("%s printed lines of more than %d bytes, or more than %d MiB, of which the rest was not read", dmi, maxLine, executors.WatchLimit>>20), see})
	}
	return count(s.tests, "test") + " of " + dmi, found
}
