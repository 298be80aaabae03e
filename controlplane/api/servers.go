package api

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"devserver-agent/controlplane/verdict"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// serverAnswer is what is known of a server; all of it is this project's own.
type serverAnswer struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	CloudServer map[string]string  `json:"cloud_server,omitempty"`
	Connected   bool               `json:"connected"`           // heard of within the last three heartbeats
	LastSeen    any                `json:"last_seen,omitempty"` // absent: never
	SilentSince any                `json:"silent_since,omitempty"`
	Duplicate   bool               `json:"duplicate,omitempty"` // two running hosts use this id
	Open        []openAnswer       `json:"open"`
	Facts       *protocol.Facts    `json:"facts,omitempty"`
	Presence    *protocol.Presence `json:"presence,omitempty"`
	Notices     []protocol.Notice  `json:"notices,omitempty"`
}

// openAnswer is a task without a verdict.
type openAnswer struct {
	TaskID  string         `json:"task_id"`
	JobID   string         `json:"job_id"`
	Phase   protocol.Phase `json:"phase,omitempty"`
	Percent int            `json:"percent"`
	Message string         `json:"message"`
}

func (a *api) servers(r *http.Request, b *Backend) (any, error) {
	query := r.URL.Query()
	limit, offset, err := paging(query)
	if err != nil {
		return nil, err
	}
	all := b.View.Servers()
	if text := query.Get("silent"); text != "" {
		silent, err := strconv.ParseBool(text)
		if err != nil {
			return nil, badRequest("silent must be true or false, it is %.80q", text)
		}
		all = slices.DeleteFunc(all, func(s view.Server) bool { return isSilent(s) != silent })
	}
	return fleetPage[serverAnswer]{page(all, limit, offset, a.serverAnswer), a.order(b.View.Stopped())}, nil
}

// isSilent reports whether somebody waits for a server that does not speak: one
// that fell silent, or that was never seen and has tasks.
func isSilent(s view.Server) bool {
	return !s.SilentSince.IsZero() || s.LastSeen.IsZero() && len(s.Open) > 0
}

func (a *api) server(r *http.Request, b *Backend) (any, error) {
	s, ok := b.View.Server(r.PathValue("server_id"))
	if !ok {
		return nil, noServer(r)
	}
	return a.serverAnswer(s), nil
}

// lost gives up a host by an operator's word.
func (a *api) lost(r *http.Request, b *Backend) (any, error) {
	id := r.PathValue("server_id")
	if _, ok := b.View.Server(id); !ok {
		return nil, noServer(r)
	}
	ended, err := b.Judge.Lost(r.Context(), r.PathValue("project_id"), id)
	switch {
	case errors.Is(err, verdict.ErrNothingLost):
		return nil, fail(http.StatusConflict, codeConflict, "server %s has no accepted task without a verdict in this project, and holds no other task's slot", id)
	case errors.Is(err, verdict.ErrBehind):
		return nil, fail(http.StatusConflict, codeConflict, "server %s has just sent something: look at it before giving it up", id)
	case err != nil:
		return nil, err
	}
	return map[string]any{"server_id": id, "tasks_ended": ended}, nil
}

func noServer(r *http.Request) error {
	return fail(http.StatusNotFound, codeNotFound, "nothing is known of server %.80q", r.PathValue("server_id"))
}

func (a *api) serverAnswer(s view.Server) serverAnswer {
	out := serverAnswer{
		ID: s.ID, Connected: !s.LastSeen.IsZero() && s.SilentSince.IsZero(), Duplicate: s.Duplicate,
		Facts: s.Facts, Presence: s.Presence, Notices: s.Notices, Open: []openAnswer{},
	}
	if s.Facts != nil {
		out.Name, out.CloudServer = s.Facts.ServerName, cloudServer(s.Facts.CloudServer)
	}
	if !s.LastSeen.IsZero() {
		out.LastSeen = a.millis(s.LastSeen.UnixMilli())
	}
	if !s.SilentSince.IsZero() {
		out.SilentSince = a.millis(s.SilentSince.UnixMilli())
	}
	for _, t := range s.Open {
		out.Open = append(out.Open, openAnswer{t.ID, t.JobID, t.Phase, t.Percent, t.Message})
	}
	return out
}

// Bounds of the lines of an audit log that are answered with.
const (
	auditLines    = 100
	maxAuditLines = 10_000
)

// audit answers with the newest lines of a host's audit log, and whether its chain holds.
func (a *api) audit(r *http.Request, b *Backend) (any, error) {
	id := r.PathValue("server_id")
	if !protocol.ValidID(id) {
		return nil, badRequest("server_id %.80q is not 1 to 64 letters, digits and hyphens", id)
	}
	lines, err := number(r.URL.Query(), "limit")
	if err != nil || lines > maxAuditLines {
		return nil, badRequest("limit must be a number up to %d", maxAuditLines)
	}
	if lines == 0 {
		lines = auditLines
	}
	return b.Audit(r.Context(), id, lines)
}
