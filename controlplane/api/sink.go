package api

import (
	"net/http"

	"devserver-agent/controlplane/output"
	"devserver-agent/protocol"
)

// sink takes the output of a task as it is found.
type sink interface {
	chunk(c protocol.Chunk) error
	gap(item int, missing output.Span) error
	end(t taskAnswer) error
	beat() error
}

// newSink begins an answer of events or of text. Who follows sees at once that
// it has begun.
func newSink(w http.ResponseWriter, events, follow bool) (sink, error) {
	if events {
		stream, err := newSSE(w)
		return &eventSink{stream}, err
	}
	text := newTextSink(w)
	if follow {
		return text, text.flush()
	}
	return text, nil
}

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
