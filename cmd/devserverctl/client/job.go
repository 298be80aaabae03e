package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"devserver-agent/protocol"
)

// Request is a job to create.
type Request struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	ServerIDs   []string        `json:"server_ids"`
	Type        string          `json:"type"`
	IsReboot    bool            `json:"is_reboot,omitempty"`
	Items       []protocol.Item `json:"items"`

	// MaxConcurrent is how many servers are at work at once; nil: what the
	// control plane thinks right, 0: all.
	MaxConcurrent *int `json:"max_concurrent,omitempty"`
	// MaxFailures is after how many failed tasks no more is handed out; 0: never.
	MaxFailures int `json:"max_failures,omitempty"`
}

// Job is a job as the control plane answers it. In lists it has no items and
// tasks.
type Job struct {
	ID            string          `json:"id"`
	Name          string          `json:"name"`
	Description   string          `json:"description"`
	Type          string          `json:"type"`
	Status        string          `json:"status"`
	UserName      string          `json:"user_name"`
	AbnormalCount int             `json:"abnormal_count"`
	CreatedAt     Millis          `json:"create_at"`
	UpdatedAt     Millis          `json:"update_at"`
	Items         []protocol.Item `json:"items"`
	Tasks         []Task          `json:"tasks"`

	// What follows are extensions of this control plane.
	Warnings      []string `json:"warnings,omitempty"`       // of a job that was just made
	MaxConcurrent int      `json:"max_concurrent,omitempty"` // servers at work at once; 0: all
	MaxFailures   int      `json:"max_failures,omitempty"`   // failed tasks after which no more is handed out; 0: never
	Message       string   `json:"message,omitempty"`        // how it goes on, if there is something to say
	Halted        bool     `json:"halted,omitempty"`         // MaxFailures was reached
	Paused        *Order   `json:"paused,omitempty"`
	Cancelled     *Order   `json:"cancelled,omitempty"`
	Stopped       *Order   `json:"stopped,omitempty"` // the whole fleet is, and tasks wait for that

	Raw json.RawMessage `json:"-"` // the answer as it came
}

// Held says why the job does not go on as it began, or "".
func (j Job) Held() string {
	if j.Halted || j.Paused != nil || j.Cancelled != nil || j.Stopped != nil {
		return j.Message
	}
	return ""
}

// Ended reports whether nothing more will come of the job. A deleted one goes
// on until its tasks have ended.
func (j Job) Ended() bool {
	for _, t := range j.Tasks {
		if !t.Status.Terminal() {
			return false
		}
	}
	return j.Status == "FINISHED" || j.Status == "DELETED"
}

// Task is the part of a job for one server. Phase and what follows are
// extensions of this control plane.
type Task struct {
	ID             string         `json:"id"`
	ServerID       string         `json:"server_id"`
	ServerName     string         `json:"server_name"`
	Status         protocol.State `json:"status"`
	Message        string         `json:"message"`
	CreatedAt      Millis         `json:"create_at"`
	UpdatedAt      Millis         `json:"update_at"`
	Phase          protocol.Phase `json:"phase"`
	Step           string         `json:"step"`
	Percent        int            `json:"percent"`
	Code           protocol.Code  `json:"code"`
	Remedy         string         `json:"remedy"` // what to do about Code
	RebootRequired bool           `json:"reboot_required"`

	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON keeps the text it came from in Raw.
func (t *Task) UnmarshalJSON(text []byte) error {
	type plain Task
	if err := json.Unmarshal(text, (*plain)(t)); err != nil {
		return err
	}
	t.Raw = append(json.RawMessage(nil), text...)
	return nil
}

// Server is what to call the task's server: its name, else its id.
func (t Task) Server() string {
	if t.ServerName != "" {
		return t.ServerName
	}
	return t.ServerID
}

// Millis is a time in epoch milliseconds; the API writes it as a string or, by
// a switch of the control plane, as a number. The zero value is no time.
type Millis int64

// UnmarshalJSON reads both forms.
func (m *Millis) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) != nil {
		s = string(text)
	}
	if s == "" || s == "null" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return fmt.Errorf("time %.40q is not in milliseconds", s)
	}
	*m = Millis(n)
	return nil
}

// Time is m in the local time zone.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)) }

// Page is an answer with several jobs.
type Page struct {
	Data    []Job  `json:"data"`
	Total   int64  `json:"total"`
	Stopped *Order `json:"stopped"` // the whole fleet is

	Raw json.RawMessage `json:"-"`
}

// Filter says which jobs to list. Empty fields match all.
type Filter struct {
	Status, Type, Name string
	Limit              int // at most so many; 0: all
}

const (
	createAttempts = 5
	createPause    = 300 * time.Millisecond // before the second try; longer with each one
)

// CreateJob creates a job. A token makes it safe to repeat: the control plane
// answers the same token with the same job. With one, CreateJob itself asks
// again for a few seconds when no answer came.
func (c *Client) CreateJob(ctx context.Context, r Request, token string) (Job, error) {
	call := request{method: http.MethodPost, path: "/jobs", body: r, header: http.Header{}}
	if token != "" {
		call.header.Set("X-Client-Token", token)
	}
	for attempt := 1; ; attempt++ {
		job, err := c.job(ctx, call)
		var unreachable *Unreachable
		if !errors.As(err, &unreachable) || token == "" || attempt == createAttempts {
			return job, err
		}
		select {
		case <-ctx.Done():
			return Job{}, err
		case <-time.After(time.Duration(attempt) * cmp.Or(c.RetryPause, createPause)):
		}
	}
}

// Job answers for one job with its tasks.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	return c.job(ctx, request{method: http.MethodGet, path: "/jobs/" + url.PathEscape(id)})
}

func (c *Client) job(ctx context.Context, r request) (Job, error) {
	var job Job
	raw, err := c.do(ctx, r, &job)
	if err != nil {
		return Job{}, err
	}
	job.Raw = raw
	return job, nil
}

// Jobs lists jobs, newest first.
func (c *Client) Jobs(ctx context.Context, f Filter) (Page, error) {
	query := url.Values{}
	for name, value := range map[string]string{"status": f.Status, "type": f.Type, "name": f.Name} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.Limit > 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	return c.page(ctx, request{method: http.MethodGet, path: "/jobs", query: query})
}

// DeleteJobs deletes jobs: what has not ended of them is cancelled. It answers
// with those that were found.
func (c *Client) DeleteJobs(ctx context.Context, ids []string) (Page, error) {
	body := map[string][]string{"job_ids": ids}
	return c.page(ctx, request{method: http.MethodDelete, path: "/jobs", body: body})
}

func (c *Client) page(ctx context.Context, r request) (Page, error) {
	var page Page
	raw, err := c.do(ctx, r, &page)
	if err != nil {
		return Page{}, err
	}
	page.Raw = raw
	return page, nil
}

// FindTask looks for a task, given by its id, through all jobs that are not
// deleted, newest first: the API has no other way.
func (c *Client) FindTask(ctx context.Context, id string) (Job, Task, error) {
	page, err := c.Jobs(ctx, Filter{})
	if err != nil {
		return Job{}, Task{}, err
	}
	for _, listed := range page.Data {
		job, err := c.Job(ctx, listed.ID)
		if err != nil {
			return Job{}, Task{}, err
		}
		for _, t := range job.Tasks {
			if t.ID == id {
				return job, t, nil
			}
		}
	}
	return Job{}, Task{}, &Refusal{Status: http.StatusNotFound, Message: fmt.Sprintf("no job has a task %s", id)}
}
