package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

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
	Data    []Server `json:"data"`
	Stopped *Order   `json:"stopped"` // the whole fleet is

	Raw json.RawMessage `json:"-"`
}

// Servers lists all servers the control plane knows of, by id.
func (c *Client) Servers(ctx context.Context) (Servers, error) { return c.servers(ctx, nil) }

// SilentServers lists those that fell silent, and those that have tasks and were
// never seen.
func (c *Client) SilentServers(ctx context.Context) (Servers, error) {
	return c.servers(ctx, url.Values{"silent": {"true"}})
}

func (c *Client) servers(ctx context.Context, query url.Values) (Servers, error) {
	var all Servers
	raw, err := c.do(ctx, request{method: http.MethodGet, query: query}, &all)
	if err != nil {
		return Servers{}, err
	}
	all.Raw = raw
	return all, nil
}

// Trail is what the broker has of a host's audit log; see docs/security.md.
type Trail struct {
	ServerID       string            `json:"server_id"`
	InstallationID string            `json:"installation_id"`
	First          int64             `json:"first"` // number of the oldest line, 0: there is none
	Last           int64             `json:"last"`
	Head           string            `json:"head"`             // SHA-256 of the last line
	Missing        int64             `json:"missing"`          // lines that did not arrive
	Broken         string            `json:"broken,omitempty"` // where the chain does not hold, and why
	Lines          []json.RawMessage `json:"lines"`

	Raw json.RawMessage `json:"-"`
}

// Audit reads the newest lines of a host's audit log.
func (c *Client) Audit(ctx context.Context, server string, lines int) (Trail, error) {
	var t Trail
	raw, err := c.do(ctx, request{method: http.MethodGet, path: "/audit/" + url.PathEscape(server), query: url.Values{"limit": {strconv.Itoa(lines)}}}, &t)
	t.Raw = raw
	return t, err
}
