package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"syscall"
	"time"
)

const (
	maxTries     = 6 // in a row that brought nothing
	defaultPause = time.Second
)

// patience is how a source that fails is tried again: after a pause, doubled
// with each try that brought nothing, and maxTries times.
type patience struct {
	first, pause time.Duration
	tries        int
}

func newPatience(first time.Duration) *patience {
	p := &patience{first: cmp.Or(first, defaultPause)}
	p.renew()
	return p
}

// renew forgets what failed before: something came.
func (p *patience) renew() { p.tries, p.pause = 0, p.first }

// after pauses and returns nil if err is worth another try. If not it is
// returned, or the cause of ctx if that ended.
func (p *patience) after(ctx context.Context, err error) error {
	p.tries++
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case hopeless(err):
		return err
	case p.tries == maxTries:
		return fmt.Errorf("%w (tried %d times)", err, p.tries)
	}
	select {
	case <-time.After(p.pause):
		p.pause *= 2
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// hopeless reports whether another try would end the same.
func hopeless(err error) bool {
	var answer refusal
	return errors.As(err, &answer) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, ErrDamaged) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENOTDIR)
}

// refusal is an answer that stays the same however often one asks.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// passing reports whether a status of HTTP speaks of the moment, not of what was
// asked for (RFC 9110, section 15, and RFC 6585 for 429).
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}
