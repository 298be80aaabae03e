package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
)

// errCut says that a stream ended before what it carries had.
var errCut = errors.New("the connection was cut")

// Follow calls fn with a job now and whenever it changed, until it has ended.
// more says that the next change is here already, so that what is costly to
// show can wait for it. Follow returns nil when the job has ended, an
// *Unreachable when the stream was cut, or what fn returns. The Raw of a job is
// as old as the stream until the job has ended; those of its tasks are not.
func (c *Client) Follow(ctx context.Context, id string, fn func(job Job, more bool) error) error {
	resp, err := c.stream(ctx, "/jobs/"+url.PathEscape(id)+"/events")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	var job Job
	for {
		e, err := readEvent(in)
		if err == nil {
			err = job.apply(e)
		}
		if err != nil {
			return c.broken(ctx, err)
		}
		if err := fn(job, in.Buffered() > 0); err != nil || job.Ended() {
			return err
		}
	}
}

func (j *Job) apply(e event) error {
	switch e.name {
	case "job":
		var next Job
		if err := json.Unmarshal(e.data, &next); err != nil {
			return fmt.Errorf("event job: %w", err)
		}
		next.Raw = e.data
		*j = next
	case "task":
		var t Task
		if err := json.Unmarshal(e.data, &t); err != nil {
			return fmt.Errorf("event task: %w", err)
		}
		i := slices.IndexFunc(j.Tasks, func(known Task) bool { return known.ID == t.ID })
		if i < 0 {
			j.Tasks = append(j.Tasks, t)
			break
		}
		j.Tasks = slices.Clone(j.Tasks) // who was given the job may keep it
		j.Tasks[i] = t
	}
	return nil
}

// stream asks for server-sent events.
func (c *Client) stream(ctx context.Context, path string) (*http.Response, error) {
	return c.send(ctx, request{
		method: http.MethodGet, path: path, header: http.Header{"Accept": {"text/event-stream"}},
	})
}

// broken is why a stream ended too early.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, io.EOF) {
		err = errCut
	}
	return &Unreachable{Server: c.Server, Err: err}
}

// event is a server-sent event (https://html.spec.whatwg.org/#server-sent-events).
type event struct {
	name string
	data []byte
}

const eventLimit = 64 << 20 // bytes of one event

// readEvent reads the next event. One without data, such as a comment that
// keeps the connection alive, is none.
func readEvent(in *bufio.Reader) (event, error) {
	var e event
	size := 0
	for {
		line, err := readLine(in, eventLimit-size)
		if err != nil {
			return event{}, err
		}
		size += len(line)
		if len(line) == 0 {
			if e.data != nil {
				return e, nil
			}
			e = event{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
		case "data":
			if e.data != nil {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
			if e.data == nil {
				e.data = []byte{}
			}
		}
	}
}

// readLine reads a line without its end.
func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > limit {
			return nil, fmt.Errorf("an event is larger than %d bytes", eventLimit)
		}
		line = append(line, part...)
		if err == nil {
			return bytes.TrimRight(line, "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}
