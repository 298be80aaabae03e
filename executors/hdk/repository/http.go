package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"devserver-agent/executors/web"
)

const (
	// stallTimeout is how long a download may bring nothing before it is cut, to
	// be resumed.
	stallTimeout = time.Minute
	maxRedirects = 5
)

// HTTP is a repository behind a base URL.
type HTTP struct {
	base   *url.URL
	client *http.Client
	stall  time.Duration
}

// NewHTTP makes the source for an http or https URL. A redirect to another
// scheme is not followed: what was asked for over TLS does not come without it.
func NewHTTP(base string) (*HTTP, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("repository: its URL: %w", bare(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("repository %s is not an http or https URL", printable(u))
	}
	transport := web.Transport()
	transport.DisableCompression = true // offsets count the file's own bytes
	client := &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		switch {
		case next.URL.Scheme != u.Scheme:
			return refusal{fmt.Errorf("redirect from %s to %s is refused", u.Scheme, next.URL.Scheme)}
		case len(via) > maxRedirects:
			return refusal{fmt.Errorf("more than %d redirects", maxRedirects)}
		}
		return nil
	}}
	return &HTTP{base: u, client: client, stall: stallTimeout}, nil
}

// printable is a URL without what may be secret: its user, its query.
func printable(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// bare is an error without the URL that net/url and net/http put before it, with
// all that is secret in it.
func bare(err error) error {
	var full *url.Error
	if errors.As(err, &full) {
		return full.Err
	}
	return err
}

// Open implements Source with a range request. A server that knows no ranges is
// read from the beginning.
func (h *HTTP) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	file := h.base.JoinPath(strings.Split(name, "/")...)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, file.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	reply, err := h.client.Do(request) //nolint:bodyclose // steadyBody closes it
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("%s: %w", printable(file), bare(err))
	}
	body := &steadyBody{body: reply.Body, limit: h.stall, ctx: ctx, cancel: cancel}
	if err := body.position(reply, offset); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", printable(file), err), body.Close())
	}
	return body, nil
}

// steadyBody is a body that is cut when it brings nothing for a while.
type steadyBody struct {
	body   io.ReadCloser
	limit  time.Duration
	ctx    context.Context
	cancel context.CancelCauseFunc
}

var errStalled = errors.New("the server sent nothing for too long")

// position makes sure that the next byte is the one at offset.
func (b *steadyBody) position(reply *http.Response, offset int64) error {
	switch reply.StatusCode {
	case http.StatusOK:
		if _, err := io.CopyN(io.Discard, b, offset); err != nil {
			return fmt.Errorf("skip %d bytes: %w", offset, err)
		}
		return nil
	case http.StatusPartialContent:
		if !strings.HasPrefix(reply.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) { // RFC 9110, 14.4
			return fmt.Errorf("asked for bytes from %d, got %q", offset, reply.Header.Get("Content-Range"))
		}
		return nil
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%s: %w", reply.Status, fs.ErrNotExist)
	}
	if !passing(reply.StatusCode) {
		return refusal{errors.New(reply.Status)}
	}
	return errors.New(reply.Status)
}

func (b *steadyBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.limit, func() { b.cancel(errStalled) })
	defer timer.Stop()
	n, err := b.body.Read(p)
	if err != nil && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *steadyBody) Close() error {
	b.cancel(nil)
	return b.body.Close()
}
