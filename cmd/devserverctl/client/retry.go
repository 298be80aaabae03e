package client

import (
	"cmp"
	"context"
	"errors"
	"time"
)

const (
	patience    = 2 * time.Minute // without an answer
	streamPause = time.Second     // between two tries
)

// Retry calls stream again while it ends with *Unreachable, after telling trouble
// (nil: nobody), and returns what else it ends with. stream calls heard when it has
// had an answer. What was never heard is not tried again, and what fell silent is
// given up after two minutes.
func (c *Client) Retry(ctx context.Context, trouble func(error), stream func(heard func()) error) error {
	known := false
	var silent time.Time
	for {
		err := stream(func() { known, silent = true, time.Time{} })
		var unreachable *Unreachable
		if !errors.As(err, &unreachable) || !known {
			return err
		}
		if silent.IsZero() {
			silent = time.Now()
		}
		if time.Since(silent) > patience {
			return err
		}
		if trouble != nil {
			trouble(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(cmp.Or(c.RetryPause, streamPause)):
		}
	}
}
