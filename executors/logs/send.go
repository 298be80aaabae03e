package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/secret"
	"devserver-agent/executors/web"
)

const (
	sendAttempts = 6
	sendPause    = 2 * time.Second
)

// send brings the bundle to its place and says which that is.
func (c Collect) send(ctx context.Context, host executors.Host, o order, scratch string, made bundle) (where string, err error) {
	file, err := os.Open(filepath.Join(scratch, bundleFile))
	if err != nil {
		return "", err
	}
	defer file.Close()
	told := func(sent int64) { host.Progress(40+int(59*sent/max(made.Size, 1)), "sending") }
	if o.url != "" {
		target, err := url.Parse(o.url)
		if err != nil {
			return "", errors.New("its url is none") // the error would have all of it
		}
		err = c.again(ctx, func() (retry bool, err error) { return put(ctx, target, file, made, told) })
		return "at " + printable(target), err
	}
	name := c.name(made)
	err = c.again(ctx, func() (bool, error) {
		return true, c.Store.Upload(ctx, name, file, made.Size, told)
	})
	return fmt.Sprintf("in object store %s as %s (devserverctl bundle get)", c.Bucket, name), err
}

// again tries until it works, is of no use, or was tried often enough.
func (c Collect) again(ctx context.Context, try func() (retry bool, err error)) error {
	pause := cmp.Or(c.SendPause, sendPause)
	for attempt := 1; ; attempt++ {
		retry, err := try()
		if err == nil || !retry || attempt == sendAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// client follows no redirect: whoever signed the URL said where the logs go.
var client = &http.Client{
	Transport:     web.Transport(),
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// put sends the bundle to a presigned URL. Errors do not have the URL, whose query is
// a key.
func put(ctx context.Context, target *url.URL, file io.ReaderAt, made bundle, told func(int64)) (retry bool, err error) {
	body := &progress{Reader: io.NewSectionReader(file, 0, made.Size), told: told}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, target.String(), body)
	if err != nil {
		return false, errors.New("its url is none")
	}
	request.ContentLength = made.Size
	response, err := client.Do(request)
	if err != nil {
		var full *url.Error
		if errors.As(err, &full) {
			err = full.Err
		}
		return true, fmt.Errorf("put to %s: %w", printable(target), err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 512))
	switch {
	case response.StatusCode/100 == 2 && err == nil:
		return false, nil
	case err != nil:
		return true, fmt.Errorf("put to %s: %w", printable(target), err)
	}
	return response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests,
		fmt.Errorf("put to %s: it answers %s: %.200q", printable(target), response.Status, secret.Mask(string(said)))
}

// printable is a URL without what may be secret: its user, its query.
func printable(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// progress tells how much was read.
type progress struct {
	io.Reader
	read int64
	told func(int64)
}

func (p *progress) Read(into []byte) (int, error) {
	n, err := p.Reader.Read(into)
	p.read += int64(n)
	p.told(p.read)
	return n, err
}
