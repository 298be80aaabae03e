package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// orderRequest is the body of an order; it may be left out where no reason is
// needed.
type orderRequest struct {
	Reason string `json:"reason"`
}

func readOrder(r *http.Request) (jobs.Order, error) {
	var req orderRequest
	if r.ContentLength != 0 {
		if err := readBody(r, &req); err != nil {
			return jobs.Order{}, err
		}
	}
	if len(req.Reason) > protocol.MaxJobText {
		return jobs.Order{}, badRequest("reason is longer than %d bytes", protocol.MaxJobText)
	}
	return jobs.Order{At: protocol.Millis(time.Now()), By: userName(r), Reason: req.Reason}, nil
}

// pause keeps a job from handing out anything new.
func (a *api) pause(r *http.Request, b *Backend) (any, error) {
	return a.orderJob(r, b, b.Store.Pause)
}

// resume ends a pause.
func (a *api) resume(r *http.Request, b *Backend) (any, error) {
	return a.orderJob(r, b, func(ctx context.Context, id string, _ jobs.Order) (jobs.Record, uint64, error) {
		return b.Store.Resume(ctx, id)
	})
}

// cancel ends a job, which stays in the lists.
func (a *api) cancel(r *http.Request, b *Backend) (any, error) {
	defer b.Judge.Look()
	return a.orderJob(r, b, b.Store.Cancel)
}

func (a *api) orderJob(r *http.Request, b *Backend, give func(context.Context, string, jobs.Order) (jobs.Record, uint64, error)) (any, error) {
	id := r.PathValue("id")
	o, err := readOrder(r)
	if err != nil {
		return nil, err
	}
	j, err := find(r, b, id)
	if err != nil {
		return nil, err
	}
	if j.Status == view.JobFinished && j.Cancelled == nil {
		return nil, tooLate(id)
	}
	record, revision, err := give(r.Context(), id, o)
	switch {
	case errors.Is(err, jobs.ErrEnded):
		return nil, tooLate(id)
	case errors.Is(err, jobs.ErrNotFound):
		return nil, fail(http.StatusNotFound, codeNotFound, "there is no job %.80q in this project", id)
	case err != nil:
		return nil, err
	}
	b.View.ApplyRecord(record, revision)
	return a.findJob(r, b, id)
}

func tooLate(id string) error {
	return fail(http.StatusConflict, codeConflict, "job %s was deleted, was cancelled or has ended", id)
}

// fleetAnswer is how the fleet is after an order.
type fleetAnswer struct {
	Stopped *orderAnswer `json:"stopped"` // null: it is not stopped
}

// stop keeps everything from handing out anything new. A stop that holds
// already stays as it is.
func (a *api) stop(r *http.Request, b *Backend) (any, error) {
	o, err := readOrder(r)
	if err != nil {
		return nil, err
	}
	if o.Reason == "" {
		return nil, badRequest("reason is missing: who finds the fleet stopped has to know why")
	}
	fleet, revision, err := b.Store.Stop(r.Context(), o)
	return a.fleet(b, fleet, revision, err)
}

// lift ends a stop.
func (a *api) lift(r *http.Request, b *Backend) (any, error) {
	fleet, revision, err := b.Store.Lift(r.Context())
	return a.fleet(b, fleet, revision, err)
}

func (a *api) fleet(b *Backend, fleet jobs.Fleet, revision uint64, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	b.View.ApplyFleet(fleet, revision)
	return fleetAnswer{a.order(fleet.Stopped)}, nil
}
