package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

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
