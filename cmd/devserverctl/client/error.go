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

	project   string // that was asked for
	anonymous bool   // no token was given
}

func (r *Refusal) Error() string {
	var b strings.Builder
	message, advice := r.advise()
	b.WriteString(strings.TrimRight(message, ". "))
	if r.Code != "" {
		fmt.Fprintf(&b, " (%s)", r.Code)
	}
	if advice != "" {
		b.WriteString(". " + advice)
	}
	if r.RequestID != "" {
		fmt.Fprintf(&b, " [request %s]", r.RequestID)
	}
	return b.String()
}

// Codes of ModelArts that the control plane gives to somebody it does not admit.
const (
	codeProject      = "ModelArts.0210"
	codeNotPermitted = "ModelArts.0108"
)

// advise is what a refusal says to somebody at a command line: the API's words are
// about headers and URLs, a person has flags.
func (r *Refusal) advise() (message, advice string) {
	switch {
	case r.anonymous && r.Status == http.StatusUnauthorized:
		return "the control plane asks who you are, and no token was given",
			"Name the file of your token with --token-file or DEVSERVERCTL_TOKEN_FILE (devserver-controlplane user add gives one)"
	case r.Code == codeProject:
		return r.Message, fmt.Sprintf("Choose a project of yours with --project or DEVSERVERCTL_PROJECT, it is %q now", r.project)
	case r.Code == codeNotPermitted:
		return r.Message, "Ask somebody who has that role"
	case r.Status == http.StatusUnauthorized:
		return r.Message, "Check the file that --token-file or DEVSERVERCTL_TOKEN_FILE names"
	case r.Status == http.StatusForbidden:
		return r.Message, "Check --token-file and --project"
	case r.Status == http.StatusNotFound:
		return r.Message, "Check the id and --project"
	case r.Status == http.StatusConflict:
		return r.Message, "Nothing was changed"
	}
	return r.Message, ""
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
	if refusal := (*Refusal)(nil); errors.As(cause, &refusal) {
		return fmt.Sprintf("no good answer from the control plane at %s: %v. Try again; if it stays so, see the log of devserver-controlplane", u.Server, refusal)
	}
	return fmt.Sprintf("cannot reach the control plane at %s: %v. %s", u.Server, cause, reach(cause))
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
		if resp.StatusCode == http.StatusBadRequest && wantsTLS(text) {
			said.Message = "the control plane speaks https there, and --api says http: give it as https://"
		}
	}
	r := &Refusal{
		Status: resp.StatusCode, Code: said.Code, Message: said.Message, RequestID: resp.Header.Get("X-Request-Id"),
		project: c.Project, anonymous: c.Token == "",
	}
	if resp.StatusCode >= 500 {
		return &Unreachable{Server: c.Server, Err: r}
	}
	return r
}
