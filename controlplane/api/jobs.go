package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
)

func (a *api) get(r *http.Request, b *Backend) (any, error) {
	return a.findJob(r, b, r.PathValue("id"))
}

func (a *api) findJob(r *http.Request, b *Backend, id string) (any, error) {
	j, err := find(r, b, id)
	if err != nil {
		return nil, err
	}
	return a.jobAnswer(j), nil
}

// find looks a job up in the view and then in the jobs themselves, which
// another replica may have written a moment ago.
func find(r *http.Request, b *Backend, id string) (view.Job, error) {
	j, ok := b.View.Job(id)
	if !ok {
		record, revision, err := b.Store.Get(r.Context(), id)
		switch {
		case err == nil:
			b.View.ApplyRecord(record, revision)
			j, ok = b.View.Job(id)
		case !errors.Is(err, jobs.ErrNotFound):
			return view.Job{}, err
		}
	}
	gone := j.DeletedAt != 0 && time.Since(time.UnixMilli(j.DeletedAt)) > jobs.KeptDeleted
	if !ok || gone || j.ProjectID != r.PathValue("project_id") {
		return view.Job{}, fail(http.StatusNotFound, codeNotFound, "there is no job %.80q in this project", id)
	}
	return j, nil
}

func (a *api) list(r *http.Request, b *Backend) (any, error) {
	query := r.URL.Query()
	limit, offset, err := paging(query)
	if err != nil {
		return nil, err
	}
	keep, err := filter(r.PathValue("project_id"), query)
	if err != nil {
		return nil, err
	}
	return fleetPage[listAnswer]{page(b.View.List(keep), limit, offset, a.listAnswer), a.order(b.View.Stopped())}, nil
}

func filter(project string, query url.Values) (func(view.Job) bool, error) {
	id, name, kind, status := query.Get("id"), query.Get("name"), query.Get("type"), query.Get("status")
	hidden := status == view.JobDeleted
	if text := query.Get("visible"); text != "" {
		visible, err := strconv.ParseBool(text)
		if err != nil {
			return nil, badRequest("visible must be true or false, it is %.80q", text)
		}
		hidden = !visible
	}
	now := time.Now()
	return func(j view.Job) bool {
		if j.ProjectID != project || (j.DeletedAt != 0) != hidden ||
			j.DeletedAt != 0 && now.Sub(time.UnixMilli(j.DeletedAt)) > jobs.KeptDeleted {
			return false
		}
		return (id == "" || j.ID == id) && (name == "" || j.Name == name) &&
			(kind == "" || j.Type == kind) && (status == "" || j.Status == status)
	}, nil
}

// deleteRequest is ServerJobDeleteRequest.
type deleteRequest struct {
	JobIDs []string `json:"job_ids"`
}

const maxDeleted = 1000

// delete deletes all the jobs it is given, or none when one is not there.
func (a *api) delete(r *http.Request, b *Backend) (any, error) {
	var req deleteRequest
	if err := readBody(r, &req); err != nil {
		return nil, err
	}
	if len(req.JobIDs) == 0 || len(req.JobIDs) > maxDeleted {
		return nil, badRequest("job_ids has %d entries, it must have 1 to %d", len(req.JobIDs), maxDeleted)
	}
	for _, id := range req.JobIDs {
		if _, err := find(r, b, id); err != nil {
			return nil, err
		}
	}
	deleted := make([]view.Job, 0, len(req.JobIDs))
	for _, id := range req.JobIDs {
		record, revision, err := b.Store.Delete(r.Context(), id, time.Now().UnixMilli())
		if errors.Is(err, jobs.ErrNotFound) {
			return nil, fail(http.StatusNotFound, codeNotFound, "there is no job %.80q in this project", id)
		}
		if err != nil {
			return nil, err
		}
		b.View.ApplyRecord(record, revision)
		if j, ok := b.View.Job(id); ok {
			deleted = append(deleted, j)
		}
	}
	b.Judge.Look()
	return page(deleted, 0, 0, a.listAnswer), nil
}
