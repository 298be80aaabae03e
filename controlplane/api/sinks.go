package api

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"devserver-agent/controlplane/output"
	"devserver-agent/protocol"
)

// eventSink sends output as events: "chunk" {item, offset, data in base64},
// "gap" {item, from, to} and at last "end" with the task.
type eventSink struct{ *sse }

type chunkEvent struct {
	Item   int    `json:"item"`
	Offset int64  `json:"offset"`
	Data   []byte `json:"data"`
}

type gapEvent struct {
	Item int `json:"item"`
	output.Span
}

func (s *eventSink) chunk(c protocol.Chunk) error {
	return s.send("chunk", chunkEvent{c.Item, c.Offset, c.Data})
}
func (s *eventSink) gap(item int, missing output.Span) error {
	return s.send("gap", gapEvent{item, missing})
}
func (s *eventSink) end(t taskAnswer) error { return s.send("end", t) }

// textSink writes output in the order of its offsets, item after item. What
// comes early waits; what never comes is named in a line of its own.
type textSink struct {
	w       http.ResponseWriter
	control *http.ResponseController
	item    int   // the item that is being written
	at      int64 // and how far
	early   []protocol.Chunk
	gaps    []gapEvent
}

func (s *textSink) chunk(c protocol.Chunk) error {
	if c.Item != s.item || c.Offset > s.at {
		s.early = append(s.early, c)
		return nil
	}
	return s.put(c)
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
	}
}

func (s *textSink) gap(item int, missing output.Span) error {
	s.gaps = append(s.gaps, gapEvent{item, missing})
	return nil
}

// end writes what waited, with a line wherever bytes are missing before it.
func (s *textSink) end(taskAnswer) error {
	slices.SortStableFunc(s.early, func(a, b protocol.Chunk) int {
		if a.Item != b.Item {
			return a.Item - b.Item
		}
		return int(min(max(a.Offset-b.Offset, -1), 1))
	})
	for _, c := range s.early {
		if err := s.jump(c.Item, c.Offset); err != nil {
			return err
		}
		if skip := s.at - c.Offset; skip < int64(len(c.Data)) {
			if err := s.write(c.Data[skip:]); err != nil {
				return err
			}
			s.at = c.Offset + int64(len(c.Data))
		}
	}
	for _, g := range s.gaps {
		if g.Item > s.item || g.Item == s.item && g.To > s.at {
			if err := s.jump(g.Item, g.To); err != nil {
				return err
			}
		}
	}
	return s.control.Flush()
}

// jump goes on at an offset of an item and names what it leaves out.
func (s *textSink) jump(item int, offset int64) error {
	if item != s.item {
		for _, g := range s.gaps {
			if g.Item == s.item && g.From >= s.at {
				if err := s.jump(s.item, g.To); err != nil {
					return err
				}
			}
		}
		s.item, s.at = item, 0
	}
	if offset <= s.at {
		return nil
	}
	line := fmt.Sprintf("\n[%d bytes are missing here: item %d from %d to %d]\n", offset-s.at, item, s.at, offset)
	s.at = offset
	return s.write([]byte(line))
}

func (s *textSink) beat() error { return nil }

func (s *textSink) write(data []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := s.w.Write(data); err != nil {
		return err
	}
	return s.control.Flush()
}
