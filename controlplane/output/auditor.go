package output

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"devserver-agent/controlplane/view"
)

// Auditor looks, some time after a host's verdict, whether all the output that
// the verdict names has come, and has the view ask for what has not. It is
// forgotten with the process; the next one begins again with the tasks that
// ended in the last day.
type Auditor struct {
	Reader *Reader
	View   *view.View
	Log    *zap.Logger   // not nil
	After  time.Duration // between verdict and the first look, then doubled; zero: 30 s

	mu  sync.Mutex
	due map[string]look
}

type look struct {
	at    time.Time
	delay time.Duration
}

const (
	auditFor     = 24 * time.Hour   // how long a host is asked for what is missing
	longestDelay = 10 * time.Minute // between two looks at one task
)

// Told notes that a host gave a task's verdict. It never blocks.
func (a *Auditor) Told(task string) {
	_, verdict, ok := a.View.Verdict(task)
	if !ok {
		return
	}
	for _, item := range verdict.Items {
		if item.Bytes > 0 {
			a.schedule(task, a.first())
			return
		}
	}
}

func (a *Auditor) first() time.Duration {
	if a.After == 0 {
		return 30 * time.Second
	}
	return a.After
}

func (a *Auditor) schedule(task string, delay time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due == nil {
		a.due = map[string]look{}
	}
	a.due[task] = look{time.Now().Add(delay), delay}
}

// Run looks until ctx ends. Call it once the view is complete.
func (a *Auditor) Run(ctx context.Context) {
	for _, task := range a.View.EndedSince(time.Now().Add(-auditFor)) {
		a.Told(task)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(a.first(), time.Second)):
		}
		for task, l := range a.takeDue(time.Now()) {
			a.look(ctx, task, l)
		}
	}
}

func (a *Auditor) takeDue(now time.Time) map[string]look {
	a.mu.Lock()
	defer a.mu.Unlock()
	due := map[string]look{}
	for task, l := range a.due {
		if !l.at.After(now) {
			due[task] = l
			delete(a.due, task)
		}
	}
	return due
}

func (a *Auditor) look(ctx context.Context, task string, l look) {
	server, verdict, ok := a.View.Verdict(task)
	if !ok || ctx.Err() != nil {
		return
	}
	seen, err := a.Reader.Seen(ctx, server, task)
	if err != nil {
		a.Log.Warn("cannot look at a task's output; it is tried again", zap.String("task", task), zap.Error(err))
		a.schedule(task, l.delay)
		return
	}
	missing := Missing(verdict.Items, seen)
	overdue := time.Since(time.UnixMilli(verdict.At)) > auditFor
	if len(missing) == 0 || overdue {
		if overdue && len(missing) > 0 {
			a.Log.Warn("output of a task stays incomplete: its host did not send it", zap.String("task", task), zap.String("server", server))
		}
		a.View.SetMissing(task, nil)
		return
	}
	a.Log.Info("output is missing; the host is asked for it", zap.String("task", task), zap.String("server", server))
	a.View.SetMissing(task, missing)
	a.schedule(task, min(2*l.delay, longestDelay))
}
