package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"devserver-agent/controlplane/access"
	"devserver-agent/controlplane/broker"
)

const requestID = "X-Request-Id"

// Codes of ModelArts, from its public list of error codes.
const (
	codeParameter = "ModelArts.0104"
	codeProject   = "ModelArts.0210"
	codeNotFound  = "ModelArts.5058"
	codeConflict  = "ModelArts.5044"
	codeInternal  = "ModelArts.0010"

	codeNoToken      = "ModelArts.0205" // no authorization header
	codeFormat       = "ModelArts.0206" // of the authorization header; with 403: the keys
	codeToken        = "ModelArts.0203"
	codeNotPermitted = "ModelArts.0108"
	codeThrottled    = "APIG.0308"
)

// failure is an error with its answer.
type failure struct {
	status  int
	Code    string `json:"error_code"`
	Message string `json:"error_msg"`
}

func (f *failure) Error() string { return f.Code + ": " + f.Message }

func fail(status int, code, format string, args ...any) *failure {
	return &failure{status, code, fmt.Sprintf(format, args...)}
}

// refusal is the answer to somebody who was not admitted.
func refusal(user access.User, project string, need access.Role, err error) error {
	switch {
	case errors.Is(err, access.ErrProject):
		return fail(http.StatusForbidden, codeProject, "%s may not use project %s, %s", user.Name, project, projects(user))
	case errors.Is(err, access.ErrRole):
		return fail(http.StatusForbidden, codeNotPermitted, "%s has the role %s, and this takes the role %s", user.Name, user.Role, need)
	}
	for _, known := range []struct {
		err    error
		status int
		code   string
	}{
		{access.ErrNoCredentials, http.StatusUnauthorized, codeNoToken},
		{access.ErrFormat, http.StatusUnauthorized, codeFormat},
		{access.ErrToken, http.StatusUnauthorized, codeToken},
		{access.ErrSignature, http.StatusForbidden, codeFormat},
		{access.ErrDate, http.StatusForbidden, codeFormat},
		{access.ErrTooMany, http.StatusTooManyRequests, codeThrottled},
		{access.ErrTooLarge, http.StatusRequestEntityTooLarge, codeParameter},
	} {
		if errors.Is(err, known.err) {
			return fail(known.status, known.code, "%v", err)
		}
	}
	return err
}

// maxProjects is how many projects of a user an answer names.
const maxProjects = 20

func projects(user access.User) string {
	switch n := len(user.Projects); {
	case n == 0:
		return "nor any other"
	case n > maxProjects:
		return fmt.Sprintf("only %s and %d more", strings.Join(user.Projects[:maxProjects], ", "), n-maxProjects)
	}
	return "only " + strings.Join(user.Projects, ", ")
}

func (a *api) logFailure(r *http.Request, err error) {
	var f *failure
	if r.Context().Err() == nil && (!errors.As(err, &f) || f.status >= http.StatusInternalServerError) {
		a.log.Error("request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	}
}

func writeError(w http.ResponseWriter, err error) {
	var f *failure
	switch {
	case errors.As(err, &f):
		if f.status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
	case broker.Away(err):
		w.Header().Set("Retry-After", "1")
		f = fail(http.StatusServiceUnavailable, codeInternal,
			"NATS does not answer, so it is not known whether the request was carried out; send it again, a POST with the same %s: %v", clientToken, err)
	default:
		f = fail(http.StatusInternalServerError, codeInternal, "internal error, request %s: %v", w.Header().Get(requestID), err)
	}
	// Strings can always be encoded.
	_ = writeJSON(w, f.status, f)
}

func writeJSON(w http.ResponseWriter, status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// What cannot be written any more cannot be answered with an error either.
	_, _ = w.Write(append(data, '\n'))
	return nil
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
