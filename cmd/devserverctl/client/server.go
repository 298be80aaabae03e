package client

import (
	"context"
	"encoding/json"
	"net/http"

	"devserver-agent/protocol"
)

// Server is what the control plane knows of a server; all of it is an extension
// of this control plane.
type Server struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Connected   bool            `json:"connected"`    // heard of within the last heartbeats
	LastSeen    Millis          `json:"last_seen"`    // 0: never
	SilentSince Millis          `json:"silent_since"` // 0: it is not silent
	Duplicate   bool            `json:"duplicate"`    // two running hosts use this id
	Open        []OpenTask      `json:"open"`
	Facts       *protocol.Facts `json:"facts"` // nil: it never told
}

// OpenTask is a task of a server without a verdict.
type OpenTask struct {
	TaskID  string         `json:"task_id"`
	JobID   string         `json:"job_id"`
	Phase   protocol.Phase `json:"phase"`
	Percent int            `json:"percent"`
	Message string         `json:"message"`
}

// Servers is an answer with several servers.
type Servers struct {
	Data []Server `json:"data"`

	Raw json.RawMessage `json:"-"`
}

// Servers lists all servers the control plane knows of, by id.
func (c *Client) Servers(ctx context.Context) (Servers, error) {
	var all Servers
	raw, err := c.do(ctx, request{method: http.MethodGet}, &all)
	if err != nil {
		return Servers{}, err
	}
	all.Raw = raw
	return all, nil
}
