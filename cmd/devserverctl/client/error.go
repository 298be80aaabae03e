package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Refusal is an answer of the control plane that says no.
type Refusal struct {
	Status    int    // of HTTP
	Code      string // error_code, "" if it gave none
	Message   string
	RequestID string // X-Request-Id, by which the control plane's log finds it
}

func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString(strings.TrimRight(r.Message, ". "))
	if r.Code != "" {
		fmt.Fprintf(&b, " (%s)", r.Code)
	}
	switch r.Status {
	case http.StatusNotFound:
		b.WriteString(". Check the id and --project")
	case http.StatusConflict:
		b.WriteString(". Nothing was changed")
	case http.StatusUnauthorized, http.StatusForbidden:
		b.WriteString(". Check your credentials and --project")
	}
	if r.RequestID != "" {
		fmt.Fprintf(&b, " [request %s]", r.RequestID)
	}
	return b.String()
}

// Unreachable says that no answer of the control plane was had, so what was
// asked for may or may not have been done.
type Unreachable struct {
	Server string
	Err    error
}

func (u *Unreachable) Error() string {
	cause := u.Err
	var wrapped *url.Error
	if errors.As(cause, &wrapped) {
		cause = wrapped.Err // the URL is named already
	}
	return fmt.Sprintf("cannot reach the control plane at %s: %v. Check --api and that devserver-controlplane runs there", u.Server, cause)
}

func (u *Unreachable) Unwrap() error { return u.Err }

// refusal makes an error of an answer: a fault of the control plane, or of one
// before it, is an Unreachable.
func (c *Client) refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return &Unreachable{Server: c.Server, Err: err}
	}
	var said struct {
		Code    string `json:"error_code"`
		Message string `json:"error_msg"`
	}
	if json.Unmarshal(text, &said) != nil || said.Message == "" {
		said.Message = "the control plane answered " + resp.Status
		if to := resp.Header.Get("Location"); to != "" {
			said.Message += " and names " + to + ", which is not followed: if you trust it, give its address as --api"
		}
	}
	r := &Refusal{Status: resp.StatusCode, Code: said.Code, Message: said.Message, RequestID: resp.Header.Get("X-Request-Id")}
	if resp.StatusCode >= 500 {
		return &Unreachable{Server: c.Server, Err: r}
	}
	return r
}
