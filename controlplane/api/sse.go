package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// sse writes server-sent events (https://html.spec.whatwg.org/#server-sent-events).
// It is used by one goroutine.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// Between two signs of life on a stream, and how long a client may take to read
// what it was sent.
const (
	keepAlive  = 15 * time.Second
	writeLimit = 30 * time.Second
)

// newSSE begins a stream; the client sees at once that it has.
func newSSE(w http.ResponseWriter) (*sse, error) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	s := &sse{w, http.NewResponseController(w)}
	return s, s.control.Flush()
}

func (s *sse) send(event string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", event, err)
	}
	return s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", event, data))
}

// beat keeps what lies between from closing an idle connection.
func (s *sse) beat() error { return s.write(": still here\n\n") }

func (s *sse) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
