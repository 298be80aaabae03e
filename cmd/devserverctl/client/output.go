package client

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
)

func outputPath(job, task string) string {
	return "/jobs/" + url.PathEscape(job) + "/tasks/" + url.PathEscape(task) + "/output"
}

// Output writes to out what a task's programs printed until now, item after
// item. What is missing is named where it lacks.
func (c *Client) Output(ctx context.Context, job, task string, out io.Writer) error {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: outputPath(job, task)})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if _, writeErr := out.Write(buf[:n]); writeErr != nil {
			return writeErr
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return c.broken(ctx, err)
		}
	}
}

// FollowOutput writes to out what a task's programs print, as it comes, until
// the task has ended and all that is left of its output was written. A stream
// that was cut is taken up where it was.
func (c *Client) FollowOutput(ctx context.Context, job, task string, out io.Writer) error {
	p := printer{out: out, at: map[int]int64{}}
	return c.Retry(ctx, nil, func(heard func()) error {
		resp, err := c.stream(ctx, outputPath(job, task))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		heard()
		in := bufio.NewReader(resp.Body)
		for {
			e, err := readEvent(in)
			if err != nil {
				return c.broken(ctx, err)
			}
			if ended, err := p.take(e); err != nil || ended {
				return err
			}
		}
	})
}

// chunk is a piece of an item's output.
type chunk struct {
	Item   int    `json:"item"`
	Offset int64  `json:"offset"`
	Data   []byte `json:"data"`
}

// gap is a range of an item's output that nobody has.
type gap struct {
	Item int   `json:"item"`
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// printer writes chunks, which come twice or in any order, in the order of
// their offsets. Items come one after the other.
type printer struct {
	out   io.Writer
	at    map[int]int64 // by item: how far it is written
	early []chunk
	gaps  []gap
}

// take takes an event; ended says that none follows.
func (p *printer) take(e event) (ended bool, err error) {
	switch e.name {
	case "chunk":
		var c chunk
		if err := json.Unmarshal(e.data, &c); err != nil {
			return false, fmt.Errorf("event chunk: %w", err)
		}
		if c.Offset > p.at[c.Item] {
			p.early = append(p.early, c)
			return false, nil
		}
		if err := p.write(c); err != nil {
			return false, err
		}
		return false, p.release()
	case "gap":
		var g gap
		if err := json.Unmarshal(e.data, &g); err != nil {
			return false, fmt.Errorf("event gap: %w", err)
		}
		p.gaps = append(p.gaps, g)
	case "end":
		return true, p.finish()
	}
	return false, nil
}

// write writes what of a chunk was not written yet.
func (p *printer) write(c chunk) error {
	skip := p.at[c.Item] - c.Offset
	if skip >= int64(len(c.Data)) || skip < 0 {
		return nil
	}
	p.at[c.Item] = c.Offset + int64(len(c.Data))
	_, err := p.out.Write(c.Data[skip:])
	return err
}

// release writes what waited for the chunk before it.
func (p *printer) release() error {
	for {
		next := slices.IndexFunc(p.early, func(c chunk) bool { return c.Offset <= p.at[c.Item] })
		if next < 0 {
			return nil
		}
		c := p.early[next]
		p.early = slices.Delete(p.early, next, next+1)
		if err := p.write(c); err != nil {
			return err
		}
	}
}

// finish writes what still waits and names what is missing before it.
func (p *printer) finish() error {
	for _, g := range p.gaps {
		p.early = append(p.early, chunk{Item: g.Item, Offset: g.To})
	}
	slices.SortStableFunc(p.early, func(a, b chunk) int {
		return cmp.Or(cmp.Compare(a.Item, b.Item), cmp.Compare(a.Offset, b.Offset))
	})
	for _, c := range p.early {
		if at := p.at[c.Item]; c.Offset > at {
			if _, err := fmt.Fprintf(p.out, "\n[%d bytes are missing here: item %d from %d to %d]\n", c.Offset-at, c.Item, at, c.Offset); err != nil {
				return err
			}
			p.at[c.Item] = c.Offset
		}
		if err := p.write(c); err != nil {
			return err
		}
	}
	p.early, p.gaps = nil, nil
	return nil
}
