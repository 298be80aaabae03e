package container

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
)

// markSize bounds how much of what was printed is kept, in bytes.
const markSize = 4096

// printed passes on what a container printed. It keeps its size, its hash and its end,
// by which the place is found in the log where it ends.
type printed struct {
	to   io.Writer
	size int64
	hash maphash.Hash
	end  []byte // at least the last markSize bytes
}

func (p *printed) Write(b []byte) (int, error) {
	n, err := p.to.Write(b)
	p.size += int64(n)
	p.hash.Write(b[:n]) // never fails
	b = b[max(0, n-markSize):n]
	if len(p.end)+len(b) > 2*markSize {
		p.end = p.end[:copy(p.end, p.end[len(p.end)-markSize:])]
	}
	p.end = append(p.end, b...)
	return n, err
}

// note writes a line that is not the container's.
func (p *printed) note(line string) error {
	if !bytes.HasSuffix(p.end, []byte("\n")) && p.size > 0 {
		line = "\n" + line
	}
	_, err := fmt.Fprint(p.to, line)
	return err
}

// place returns a place for the log to be written to. Not to be used after more was
// printed.
func (p *printed) place() *place {
	l := &place{printed: p, mark: p.end[max(0, len(p.end)-markSize):], fits: p.size == 0}
	l.hash.SetSeed(p.hash.Seed())
	return l
}

// place finds out where in a log the printed output ends. If the log begins with all
// of it, as it should, what follows is passed on at once.
type place struct {
	printed *printed
	seen    int64        // bytes of the log
	hash    maphash.Hash // of those, up to printed.size
	fits    bool         // the log begins with what was printed
	mark    []byte       // the end of what was printed
	after   int64        // where the first mark ends; 0: none was seen
	again   bool         // another mark was seen: where the output ends is not known
	window  []byte       // the last bytes seen, in which no mark begins that was not looked at
}

// searchAt is how large the window grows until it is searched, in bytes.
const searchAt = 16 * markSize

func (l *place) Write(b []byte) (int, error) {
	n := len(b)
	if before := min(int64(n), l.printed.size-l.seen); before > 0 {
		l.hash.Write(b[:before]) // never fails
		l.look(b[:before])
		b = b[before:]
		l.fits = l.seen == l.printed.size && l.hash.Sum64() == l.printed.hash.Sum64()
	}
	if !l.fits {
		l.look(b)
		return n, nil
	}
	l.seen += int64(len(b))
	_, err := l.printed.to.Write(b)
	return n, err
}

func (l *place) look(b []byte) {
	l.seen += int64(len(b))
	if l.again {
		return
	}
	if l.window = append(l.window, b...); len(l.window) >= searchAt {
		l.search()
	}
}

// search looks for the mark, and for a second one: a container that says the same again
// and again leaves many.
func (l *place) search() {
	for {
		i := bytes.Index(l.window, l.mark)
		switch {
		case i < 0:
			l.window = l.window[:copy(l.window, l.window[max(0, len(l.window)-len(l.mark)+1):])]
			return
		case l.after > 0:
			l.again, l.window = true, nil
			return
		}
		l.after = l.seen - int64(len(l.window)-i-len(l.mark))
		l.window = l.window[i+1:]
	}
}

// rest returns where that begins which was not passed on, after the whole log was
// written; and whether it repeats what was printed.
func (l *place) rest() (from int64, repeats bool) {
	if l.fits {
		return l.seen, false
	}
	if len(l.window) >= len(l.mark) && !l.again {
		l.search()
	}
	if l.after == 0 || l.again || l.after > l.printed.size {
		// The log was rotated so often that it begins later, or it has what was left out
		// before the mark, or it has the mark at several places.
		return 0, true
	}
	// The log was rotated and begins with what was printed. What a follow left out of
	// that, if it is less than what was dropped with the rotation, is not noticed.
	return l.after, false
}

// skipper leaves out the first bytes.
type skipper struct {
	to   io.Writer
	left int64
}

func (s *skipper) Write(b []byte) (int, error) {
	n := len(b)
	b = b[min(int64(n), s.left):]
	s.left -= int64(n - len(b))
	_, err := s.to.Write(b)
	return n, err
}
