// Package client speaks the DevServer job API over HTTP, for devserverctl and
// whoever writes another program for operators.
//
// It keeps no state; a Client is safe for concurrent use. Times are the
// broker's, as the control plane answers them.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	answerTimeout = 30 * time.Second // for one request that is answered at once
	answerLimit   = 64 << 20         // bytes of an answer; a job of 1,000 servers is about 5 MB
)

// Client is a control plane and the project to work in.
type Client struct {
	Server    string            // base URL, http or https; with a token, as web.CheckTokenURL has it
	Project   string            // project id
	Token     string            // who asks; "" where nobody is asked who he is
	Transport http.RoundTripper // nil: http.DefaultTransport
	// RetryPause is the time before what had no answer is tried again. 0: 1 s before a
	// stream is, and 300 ms before the second try of CreateJob.
	RetryPause time.Duration
}

// request is one call of the API. A nil body sends none.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	body         any
}

// do sends a request and decodes its answer into out (nil: not at all). The
// answer's text comes back as it was. An error is a *Refusal or an
// *Unreachable.
func (c *Client) do(ctx context.Context, r request, out any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, &Unreachable{Server: c.Server, Err: err}
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			return nil, &Unreachable{Server: c.Server, Err: fmt.Errorf("its answer to %s %s is not the job API's: %w", r.method, r.path, err)}
		}
	}
	return text, nil
}

// send sends a request and returns a good answer with its body open.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: c.Transport, CheckRedirect: stay}
	resp, err := client.Do(req)
	if err != nil {
		return nil, &Unreachable{Server: c.Server, Err: err}
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, c.refusal(resp)
	}
	return resp, nil
}

// stay follows no redirect: the token would go along.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	target := strings.TrimRight(c.Server, "/") + "/v1/" + url.PathEscape(c.Project) + "/dev-servers" + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("request to %s: %w", c.Server, err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if c.Token != "" {
		req.Header.Set("X-Auth-Token", c.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	}
	return req, nil
}
