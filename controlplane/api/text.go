package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"devserver-agent/controlplane/output"
	"devserver-agent/protocol"
)

// maxEarly is how many bytes may wait for those before them. With more, what is
// missing is named and left out.
const maxEarly = 8 << 20

// textSink writes output as text: item after item, each in the order of its
// offsets. What comes early waits, what never comes is named in a line of its
// own, and so is what comes when its item is over.
type textSink struct {
	w       http.ResponseWriter
	control *http.ResponseController
	item    int   // the item that is being written
	at      int64 // and how far
	early   []protocol.Chunk
	waiting int // bytes in early
	named   map[gapEvent]bool
	gaps    []gapEvent
}

func newTextSink(w http.ResponseWriter) *textSink {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	return &textSink{w: w, control: http.NewResponseController(w), named: map[gapEvent]bool{}}
}

func (s *textSink) chunk(c protocol.Chunk) error {
	// A host runs items one after the other: the next one's first byte means
	// that nothing new comes of this one.
	if c.Item > s.item && c.Offset == 0 && len(s.early) == 0 {
		s.item, s.at = c.Item, 0
	}
	if c.Item != s.item || c.Offset > s.at {
		s.early = append(s.early, c)
		s.waiting += len(c.Data)
		if s.waiting > maxEarly {
			return s.drain()
		}
		return s.flush()
	}
	if err := s.put(c); err != nil {
		return err
	}
	return s.flush()
}

// put writes what of a chunk was not written yet, then what has waited for it.
func (s *textSink) put(c protocol.Chunk) error {
	for {
		if skip := s.at - c.Offset; skip < int64(len(c.Data)) {
			if err := s.write(c.Data[skip:]); err != nil {
				return err
			}
			s.at = c.Offset + int64(len(c.Data))
		}
		next := slices.IndexFunc(s.early, func(e protocol.Chunk) bool { return e.Item == s.item && e.Offset <= s.at })
		if next < 0 {
			return nil
		}
		c = s.early[next]
		s.early = slices.Delete(s.early, next, next+1)
		s.waiting -= len(c.Data)
	}
}

// drain writes all that waits, and names what is missing before it.
func (s *textSink) drain() error {
	slices.SortStableFunc(s.early, func(a, b protocol.Chunk) int {
		if a.Item != b.Item {
			return a.Item - b.Item
		}
		return int(min(max(a.Offset-b.Offset, -1), 1))
	})
	early := s.early
	s.early, s.waiting = nil, 0
	for _, c := range early {
		end := c.Offset + int64(len(c.Data))
		if c.Item < s.item {
			if err := s.line("item %d from %d to %d came late", c.Item, c.Offset, end); err != nil {
				return err
			}
			if err := s.write(c.Data); err != nil {
				return err
			}
			continue
		}
		if c.Item > s.item {
			s.item, s.at = c.Item, 0
		}
		if c.Offset > s.at {
			if err := s.name(gapEvent{s.item, output.Span{From: s.at, To: c.Offset}}); err != nil {
				return err
			}
			s.at = c.Offset
		}
		if err := s.put(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *textSink) gap(item int, missing output.Span) error {
	s.gaps = append(s.gaps, gapEvent{item, missing})
	return nil
}

func (s *textSink) end(taskAnswer) error {
	if err := s.drain(); err != nil {
		return err
	}
	for _, g := range s.gaps {
		if err := s.name(g); err != nil {
			return err
		}
	}
	return s.flush()
}

// name says once that bytes are missing.
func (s *textSink) name(g gapEvent) error {
	if s.named[g] {
		return nil
	}
	s.named[g] = true
	return s.line("%d bytes are missing: item %d from %d to %d", g.To-g.From, g.Item, g.From, g.To)
}

func (s *textSink) line(format string, args ...any) error {
	return s.write(fmt.Appendf(nil, "\n["+format+"]\n", args...))
}

// beat writes nothing: text has no place for it.
func (s *textSink) beat() error { return nil }

func (s *textSink) write(data []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	_, err := s.w.Write(data)
	return err
}

func (s *textSink) flush() error { return s.control.Flush() }
