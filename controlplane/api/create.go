package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"devserver-agent/controlplane/access"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/templates"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// createRequest is DevServerJobCreateRequest.
type createRequest struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	ServerIDs   []string        `json:"server_ids"`
	Type        string          `json:"type"`
	IsReboot    bool            `json:"is_reboot"`
	Items       []protocol.Item `json:"items"`

	// This project's own. Without max_concurrent a disruptive job has
	// DefaultConcurrent and any other no limit, which is 0.
	MaxConcurrent *int `json:"max_concurrent,omitempty"`
	MaxFailures   int  `json:"max_failures,omitempty"` // 0: no limit
}

// DefaultConcurrent is how many servers of a disruptive job are at work at once,
// unless it says otherwise.
const DefaultConcurrent = 10

// MaxBody is the most bytes of a request's body.
const MaxBody = 256 << 10

const (
	clientToken = "X-Client-Token"
	localUser   = "local" // where nobody is asked who they are
)

// userName is who asks.
func userName(r *http.Request) string {
	if user, ok := access.From(r.Context()); ok {
		return user.Name
	}
	return localUser
}

func (a *api) create(r *http.Request, b *Backend) (any, error) {
	var req createRequest
	if err := readBody(r, &req); err != nil {
		return nil, err
	}
	template, work, err := a.checkCreate(req, b.View)
	if err != nil {
		return nil, err
	}
	asked := jobs.Request{
		ProjectID: r.PathValue("project_id"), Name: req.Name, Description: req.Description,
		Type: template, TemplateID: templates.ID(template), UserName: userName(r),
		IsReboot: req.IsReboot, Items: req.Items, Work: work.items, TimeoutSeconds: work.seconds, Servers: req.ServerIDs, Token: r.Header.Get(clientToken),
		MaxConcurrent: req.concurrent(work), MaxFailures: req.MaxFailures,
	}
	if asked.Token != "" {
		if asked.Digest, err = requestDigest(asked.Token, req); err != nil {
			return nil, err
		}
	}
	record, err := jobs.New(asked, time.Now(), a.Expires)
	if errors.Is(err, jobs.ErrUnfit) {
		return nil, badRequest("%v", err)
	}
	if err != nil {
		return nil, err
	}
	if known, ok, err := a.repeated(r, b, record); ok || err != nil {
		return known, err
	}
	if err := checkRoom(b.View, record); err != nil {
		return nil, err
	}
	revision, err := b.Store.Create(r.Context(), record)
	if errors.Is(err, jobs.ErrExists) { // the same token at the same time
		known, _, err := a.repeated(r, b, record)
		return known, err
	}
	if err != nil {
		return nil, err
	}
	b.View.ApplyRecord(record, revision)
	job, err := find(r, b, record.ID)
	if err != nil {
		return nil, err
	}
	answer := a.jobAnswer(job)
	if work.disruptive {
		answer.Warnings = partial(req.ServerIDs, b.View)
	}
	return answer, nil
}

// concurrent is how many servers of the job may be at work at once, 0 for all.
func (req createRequest) concurrent(w work) int {
	switch {
	case req.MaxConcurrent != nil:
		return *req.MaxConcurrent
	case w.disruptive:
		return DefaultConcurrent
	}
	return 0
}

// repeated answers with the job that the same client token made before.
func (a *api) repeated(r *http.Request, b *Backend, record jobs.Record) (any, bool, error) {
	if record.Request == "" {
		return nil, false, nil
	}
	known, revision, err := b.Store.Get(r.Context(), record.ID)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if known.Request != record.Request {
		return nil, false, fail(http.StatusConflict, codeConflict,
			"%s was used for another request, which made job %s; use a new one", clientToken, known.ID)
	}
	b.View.ApplyRecord(known, revision)
	job, err := a.findJob(r, b, record.ID)
	return job, true, err
}

func requestDigest(token string, req createRequest) (string, error) {
	if len(token) > 128 || !utf8.ValidString(token) {
		return "", badRequest("%s is longer than 128 bytes", clientToken)
	}
	canonical, err := json.Marshal(req)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

// readBody reads a JSON document, and nothing after it.
func readBody(r *http.Request, into any) error {
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fail(http.StatusRequestEntityTooLarge, codeParameter, "the request is larger than %d bytes", MaxBody)
	}
	if err != nil {
		return badRequest("the request could not be read: %v", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return badRequest("the request is not the JSON that is wanted: %v", err)
	}
	return nil
}

// checkCreate finds what is wrong with a request before anything is written,
// the template type of its job, and the work that agents are given for it.
func (a *api) checkCreate(req createRequest, v *view.View) (template string, w work, err error) {
	if !protocol.ValidType(req.Name) {
		return "", work{}, badRequest("name must be 1 to 64 of letters, digits, hyphens, underscores and dots")
	}
	if len(req.Description) > protocol.MaxJobText {
		return "", work{}, badRequest("description is longer than %d bytes", protocol.MaxJobText)
	}
	if err := checkServers(req.ServerIDs); err != nil {
		return "", work{}, err
	}
	if len(req.Items) == 0 || len(req.Items) > protocol.MaxItems {
		return "", work{}, badRequest("items has %d entries, it must have 1 to %d", len(req.Items), protocol.MaxItems)
	}
	for name, n := range map[string]int{"max_concurrent": req.concurrent(work{}), "max_failures": req.MaxFailures} {
		if n < 0 || n > protocol.MaxJobServers {
			return "", work{}, badRequest("%s is %d, it must be 0 (no limit) to %d", name, n, protocol.MaxJobServers)
		}
	}
	announced := v.Announced(req.ServerIDs)
	template, known := a.Templates.Of(req.Type, announced)
	if !known {
		return "", work{}, badRequest("type %.80q is neither a template type nor an item type; see GET jobs/templates", req.Type)
	}
	for i, item := range req.Items {
		if err := w.add(a.Templates, item, announced); err != nil {
			return "", work{}, badRequest("items[%d]: %v", i, err)
		}
	}
	return template, w, nil
}

// work is what agents are given for the items of a request.
type work struct {
	items   []protocol.Item
	seconds int64 // that all may take; 0: each what its type may
	limited int   // items whose template has a limit
	// disruptive says that an item changes what other work on its host runs on.
	disruptive bool
}

// add takes in one item. The limits of templates hold when every item has one.
func (w *work) add(known templates.Set, item protocol.Item, announced map[string]protocol.ItemType) error {
	own := known.Has(item.Type)
	expanded, seconds, err := known.Expand(item)
	if err == nil && !own {
		err = checkItem(expanded, announced)
	}
	if err != nil {
		return err
	}
	w.items = append(w.items, expanded)
	w.disruptive = w.disruptive || disruptive(expanded, announced)
	if seconds > 0 {
		w.limited++
	}
	if w.seconds += seconds; w.limited < len(w.items) {
		w.seconds = 0
	}
	return nil
}

func checkServers(ids []string) error {
	if len(ids) == 0 || len(ids) > protocol.MaxJobServers {
		return badRequest("server_ids has %d entries, it must have 1 to %d", len(ids), protocol.MaxJobServers)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !protocol.ValidID(id) {
			return badRequest("server_ids: %.80q is not 1 to 64 letters, digits and hyphens", id)
		}
		if seen[id] {
			return badRequest("server_ids names %s twice", id)
		}
		seen[id] = true
	}
	return nil
}

func checkItem(item protocol.Item, announced map[string]protocol.ItemType) error {
	builtIn, known := protocol.LookupType(item.Type)
	if known && builtIn.CheckSpec(item.Spec) == nil {
		return nil
	}
	// A newer agent may know more parameters than this control plane.
	if other, told := announced[item.Type]; told {
		return other.CheckSpec(item.Spec)
	}
	if known {
		return builtIn.CheckSpec(item.Spec)
	}
	return fmt.Errorf("type %.80q is not known here, and none of the servers announces it", item.Type)
}

// disruptive asks the type, built in or as an agent announced it.
func disruptive(item protocol.Item, announced map[string]protocol.ItemType) bool {
	builtIn, _ := protocol.LookupType(item.Type)
	return builtIn.Disruptive || announced[item.Type].Disruptive
}

// checkRoom names the servers that cannot take one more task.
func checkRoom(v *view.View, record jobs.Record) error {
	var full, double []string
	for _, id := range record.Servers {
		open, bytes := v.Load(id)
		if open >= protocol.MaxOpenTasks || bytes+2*view.EnvelopeBytes(len(record.Body)+256) > protocol.MaxMailbox {
			full = append(full, id)
		}
		if s, ok := v.Server(id); ok && s.Duplicate {
			double = append(double, id)
		}
	}
	switch {
	case len(full) > 0:
		return fail(http.StatusConflict, codeConflict, "these servers have as many open tasks as they may have (%d): %s; wait for some to end, or delete jobs",
			protocol.MaxOpenTasks, name(full))
	case len(double) > 0:
		return fail(http.StatusConflict, codeConflict, "two running hosts use each of these ids: %s; correct server_id on one of them", name(double))
	}
	return nil
}

const namedServers = 20

func name(ids []string) string {
	if len(ids) <= namedServers {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(slices.Clone(ids[:namedServers]), ", "), len(ids)-namedServers)
}

func badRequest(format string, args ...any) *failure {
	return fail(http.StatusBadRequest, codeParameter, format, args...)
}
