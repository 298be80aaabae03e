package executors

import (
	"context"
	"errors"
)

// WithoutCancel is ctx without a cancel or a deadline, for what has begun and must come to
// its end, or be cleaned up; only the end of the agent counts. The function frees what
// it takes.
func WithoutCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	firm, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrStopping) {
			cancel(ErrStopping)
		}
	})
	return firm, func() { unhook(); cancel(nil) }
}
