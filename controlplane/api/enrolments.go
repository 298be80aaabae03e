package api

import (
	"errors"
	"net/http"

	"golang.org/x/time/rate"

	"devserver-agent/controlplane/enrolment"
	"devserver-agent/protocol"
)

// Bounds of how often tokens are tried, by all hosts together.
const (
	enrolmentsPerSecond = 20
	enrolmentsAtOnce    = 200
)

// enrolments answers a host that brings a token. The token is all that it has to prove.
func (a *api) enrolments() http.Handler {
	limit := rate.NewLimiter(enrolmentsPerSecond, enrolmentsAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := a.enrol(r, limit)
		if err == nil {
			err = writeJSON(w, http.StatusOK, answer)
		}
		if err != nil {
			a.logFailure(r, err)
			writeError(w, err)
		}
	})
}

func (a *api) enrol(r *http.Request, limit *rate.Limiter) (protocol.Enrolled, error) {
	if a.Enrol == nil {
		return protocol.Enrolled{}, fail(http.StatusNotFound, codeNotFound, "hosts are not enrolled here: the control plane has no --enrolment-key")
	}
	if !limit.Allow() {
		return protocol.Enrolled{}, fail(http.StatusTooManyRequests, codeThrottled, "too many hosts enrol at once; ask again later")
	}
	var asked protocol.Enrolment
	if err := readBody(r, &asked); err != nil {
		return protocol.Enrolled{}, err
	}
	given, err := a.Enrol(r.Context(), asked)
	switch {
	case errors.Is(err, enrolment.ErrKey):
		err = badRequest("%v", err)
	case errors.Is(err, enrolment.ErrToken):
		err = fail(http.StatusUnauthorized, codeToken, "%v", err)
	case errors.Is(err, enrolment.ErrUsed):
		err = fail(http.StatusConflict, codeConflict, "%v", err)
	}
	return given, err
}
