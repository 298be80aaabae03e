package verdict

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
)

// Keeper writes the verdicts of finished jobs into their records, so that the
// status stream may forget them, notes there which jobs were halted, and forgets
// jobs that were deleted long ago. Dies before the write: the next look finds
// the job ended or halted and not written.
type Keeper struct {
	View  *view.View
	Store *jobs.Store
	Log   *zap.Logger   // not nil
	Every time.Duration // between two looks at all jobs

	mu    sync.Mutex
	ended []string
	wake  chan struct{}
}

// NewKeeper makes a keeper that looks at all jobs every minute.
func NewKeeper(v *view.View, store *jobs.Store, log *zap.Logger) *Keeper {
	return &Keeper{View: v, Store: store, Log: log, Every: time.Minute, wake: make(chan struct{}, 1)}
}

// Ended tells that a job has ended or was halted. It never blocks.
func (k *Keeper) Ended(job string) {
	k.mu.Lock()
	k.ended = append(k.ended, job)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends. Call it once the view is complete.
func (k *Keeper) Run(ctx context.Context) {
	k.sweep(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
			k.mu.Lock()
			ended := k.ended
			k.ended = nil
			k.mu.Unlock()
			for _, id := range ended {
				k.finish(ctx, id)
			}
		case <-time.After(k.Every):
			k.sweep(ctx)
		}
	}
}

func (k *Keeper) sweep(ctx context.Context) {
	for _, id := range k.View.Unfinished() {
		k.finish(ctx, id)
	}
	for id, revision := range k.View.Outdated(time.Now()) {
		if err := k.Store.Forget(ctx, id, revision); err != nil && ctx.Err() == nil {
			k.Log.Warn("deleted job not forgotten yet", zap.Error(err))
		}
	}
}

// finish writes a halt before the verdicts, so that a record with verdicts says
// everything.
func (k *Keeper) finish(ctx context.Context, id string) {
	if halt, ok := k.View.Halting(id); ok {
		record, revision, err := k.Store.Halt(ctx, id, halt)
		if !k.wrote(ctx, id, err) {
			return
		}
		k.View.ApplyRecord(record, revision)
	}
	verdicts, ok := k.View.Ending(id)
	if !ok {
		return
	}
	record, revision, err := k.Store.Finish(ctx, id, verdicts, time.Now().UnixMilli())
	if k.wrote(ctx, id, err) {
		k.View.ApplyRecord(record, revision)
	}
}

func (k *Keeper) wrote(ctx context.Context, id string, err error) bool {
	if err != nil && !errors.Is(err, jobs.ErrNotFound) && ctx.Err() == nil {
		k.Log.Warn("end of a job not written; it is tried again", zap.String("job", id), zap.Error(err))
	}
	return err == nil
}
