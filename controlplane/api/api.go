// Package api is the control plane's HTTP: the DevServer job API of ModelArts,
// by its names and types, and a few extensions under names of their own.
//
// It answers from the view and writes only jobs. While the view is being folded
// again it answers 503 with Retry-After.
package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"devserver-agent/controlplane/access"
	"devserver-agent/controlplane/audit"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/output"
	"devserver-agent/controlplane/templates"
	"devserver-agent/controlplane/verdict"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// Backend is what requests are answered from.
type Backend struct {
	View   *view.View
	Store  *jobs.Store
	Judge  *verdict.Judge
	Output *output.Reader
	// Audit reads what a host has sent of its audit log, its newest lines.
	Audit func(ctx context.Context, server string, lines int) (audit.Trail, error)
	// Done is closed when this backend is given up for another one.
	Done <-chan struct{}
}

// Options of the API.
type Options struct {
	// Backend is nil while there is none to answer from.
	Backend func() *Backend
	// Connected tells whether the broker can be reached now.
	Connected func() bool
	// WhileConnected calls what waits for the broker's answers, with a context that also
	// ends when the broker is lost; nil: requests end with their own context only.
	WhileConnected func(context.Context, func(context.Context) error) error
	// NumericTimes gives create_at and update_at as numbers. Huawei's Go SDK
	// refuses those, so strings are the default.
	NumericTimes bool
	// Guard asks who sends a request; nil: everybody may do everything.
	Guard *access.Guard
	// Enrol gives hosts that bring a token the broker's word; nil: none is enrolled here.
	Enrol func(context.Context, protocol.Enrolment) (protocol.Enrolled, error)
	// Templates are the kinds of jobs that there are.
	Templates templates.Set
	Expires   time.Duration // how long a job may be accepted; zero: 7 days
	Log       *zap.Logger   // nil: silent
}

type api struct {
	Options
	log *zap.Logger
}

// New makes the handler of all routes.
func New(opts Options) http.Handler {
	a := &api{Options: opts, log: opts.Log}
	if a.log == nil {
		a.log = zap.NewNop()
	}
	if a.WhileConnected == nil {
		a.WhileConnected = func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
	}
	if a.Expires == 0 {
		a.Expires = protocol.DefaultExpires
	}
	mux := http.NewServeMux()
	const root = "/v1/{project_id}/dev-servers"
	for _, r := range []struct {
		route  string
		need   access.Role
		handle func(*http.Request, *Backend) (any, error)
	}{
		{"POST " + root + "/jobs", access.Operator, a.create},
		{"GET " + root + "/jobs", access.Reader, a.list},
		{"DELETE " + root + "/jobs", access.Operator, a.delete},
		{"GET " + root + "/jobs/{id}", access.Reader, a.get},
		{"GET " + root + "/jobs/templates", access.Reader, a.templates},
		{"GET " + root + "/jobs/templates/{id}", access.Reader, a.template},
		{"POST " + root + "/jobs/{id}/pause", access.Operator, a.pause},
		{"POST " + root + "/jobs/{id}/resume", access.Operator, a.resume},
		{"POST " + root + "/jobs/{id}/cancel", access.Operator, a.cancel},
		{"POST " + root + "/stop", access.Keeper, a.stop},
		{"POST " + root + "/resume", access.Keeper, a.lift},
		{"GET " + root, access.Reader, a.servers},
		{"GET " + root + "/{server_id}", access.Reader, a.server},
		{"GET " + root + "/audit/{server_id}", access.Reader, a.audit},
		{"POST " + root + "/{server_id}/lost", access.Keeper, a.lost},
	} {
		mux.Handle(r.route, a.answer(r.need, r.handle))
	}
	mux.Handle("GET "+root+"/jobs/{id}/{what}", a.stream(access.Reader, a.jobRoute))
	mux.Handle("GET "+root+"/jobs/{id}/tasks/{task_id}/output", a.stream(access.Reader, a.output))
	mux.Handle("POST /v1/enrolments", a.enrolments())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, fail(http.StatusNotFound, codeNotFound, "there is no %s %s", r.Method, r.URL.Path))
	})
	// Where nobody is asked for credentials a web page in an operator's browser must
	// not be able to send jobs.
	return withRequestID(http.NewCrossOriginProtection().Handler(mux))
}

func (a *api) ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case a.Backend() == nil:
		writeText(w, http.StatusServiceUnavailable, "reading the streams\n")
	case !a.Connected():
		writeText(w, http.StatusServiceUnavailable, "no connection to NATS\n")
	default:
		writeText(w, http.StatusOK, "ready\n")
	}
}

const answerTimeout = 30 * time.Second

// answer serves a request that is answered with one JSON document.
func (a *api) answer(need access.Role, handle func(*http.Request, *Backend) (any, error)) http.Handler {
	return a.stream(need, func(w http.ResponseWriter, r *http.Request, b *Backend) error {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		var body any
		err := a.WhileConnected(ctx, func(ctx context.Context) (err error) {
			body, err = handle(r.WithContext(ctx), b)
			return err
		})
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, body)
	})
}

// admit finds out who asks. With an error the request goes no further.
func (a *api) admit(r *http.Request, need access.Role) (*http.Request, error) {
	if err := checkProject(r); err != nil || a.Guard == nil {
		return r, err
	}
	user, err := a.Guard.Admit(r, r.PathValue("project_id"), need)
	if err != nil {
		return r, refusal(user, r.PathValue("project_id"), need, err)
	}
	return r.WithContext(access.With(r.Context(), user)), nil
}

// stream serves a request that writes its answer itself. An error is answered
// only if nothing was written before.
func (a *api) stream(need access.Role, handle func(http.ResponseWriter, *http.Request, *Backend) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, err := a.admit(r, need)
		if err != nil {
			a.logFailure(r, err)
			writeError(w, err)
			return
		}
		b := a.Backend()
		if b == nil {
			w.Header().Set("Retry-After", "1")
			writeError(w, fail(http.StatusServiceUnavailable, codeInternal, "the control plane is reading the streams of its broker; ask again in a second"))
			return
		}
		out := &written{ResponseWriter: w}
		if err = handle(out, r, b); err == nil {
			return
		}
		a.logFailure(r, err)
		if out.begun {
			panic(http.ErrAbortHandler) // the client sees that the answer was cut
		}
		writeError(out, err)
	})
}

// written notes whether an answer has begun.
type written struct {
	http.ResponseWriter
	begun bool
}

func (w *written) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *written) Write(data []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (w *written) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func checkProject(r *http.Request) error {
	if !protocol.ValidID(r.PathValue("project_id")) {
		return fail(http.StatusBadRequest, codeProject, "project_id %.80q is not 1 to 64 letters, digits and hyphens", r.PathValue("project_id"))
	}
	return nil
}

func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(requestID, uuid.NewString())
		next.ServeHTTP(w, r)
	})
}
