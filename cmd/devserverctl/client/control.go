package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Order is what an operator said of a job or of the whole fleet, and since when
// it holds.
type Order struct {
	Since  Millis `json:"since"`
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// reason is the body of an order.
type reason struct {
	Reason string `json:"reason,omitempty"`
}

// PauseJob keeps a job from handing out anything new; what runs goes on.
func (c *Client) PauseJob(ctx context.Context, id, why string) (Job, error) {
	return c.tell(ctx, id, "pause", why)
}

// ResumeJob ends a pause.
func (c *Client) ResumeJob(ctx context.Context, id string) (Job, error) {
	return c.tell(ctx, id, "resume", "")
}

// CancelJob cancels what has not ended of a job, which stays in the lists.
func (c *Client) CancelJob(ctx context.Context, id, why string) (Job, error) {
	return c.tell(ctx, id, "cancel", why)
}

func (c *Client) tell(ctx context.Context, id, what, why string) (Job, error) {
	return c.job(ctx, request{method: http.MethodPost, path: "/jobs/" + url.PathEscape(id) + "/" + what, body: reason{why}})
}

// Fleet is what holds for all jobs.
type Fleet struct {
	Stopped *Order `json:"stopped"` // nil: it is not stopped

	Raw json.RawMessage `json:"-"`
}

// StopFleet keeps everything from handing out anything new until ResumeFleet. It
// answers with the stop that holds, which may be an earlier one.
func (c *Client) StopFleet(ctx context.Context, why string) (Fleet, error) {
	return c.fleet(ctx, request{method: http.MethodPost, path: "/stop", body: reason{why}})
}

// ResumeFleet ends a stop.
func (c *Client) ResumeFleet(ctx context.Context) (Fleet, error) {
	return c.fleet(ctx, request{method: http.MethodPost, path: "/resume"})
}

// Fleet tells whether the fleet is stopped.
func (c *Client) Fleet(ctx context.Context) (Fleet, error) {
	var fleet Fleet
	_, err := c.do(ctx, request{method: http.MethodGet, query: url.Values{"limit": {"1"}}}, &fleet)
	if err != nil {
		return Fleet{}, err
	}
	fleet.Raw, err = json.Marshal(struct {
		Stopped *Order `json:"stopped"`
	}{fleet.Stopped})
	return fleet, err
}

func (c *Client) fleet(ctx context.Context, r request) (Fleet, error) {
	var fleet Fleet
	raw, err := c.do(ctx, r, &fleet)
	if err != nil {
		return Fleet{}, err
	}
	fleet.Raw = raw
	return fleet, nil
}

// Lost is what giving a server up has ended.
type Lost struct {
	ServerID   string `json:"server_id"`
	TasksEnded int    `json:"tasks_ended"`

	Raw json.RawMessage `json:"-"`
}

// LoseServer gives a server up: what it had accepted ends as HOST_LOST.
func (c *Client) LoseServer(ctx context.Context, id string) (Lost, error) {
	var lost Lost
	raw, err := c.do(ctx, request{method: http.MethodPost, path: "/" + url.PathEscape(id) + "/lost"}, &lost)
	if err != nil {
		return Lost{}, err
	}
	lost.Raw = raw
	return lost, nil
}
