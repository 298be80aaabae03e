package outbox

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"devserver-agent/protocol"
)

// progress keeps the latest progress of each task until it is sent.
type progress struct {
	mu      sync.Mutex
	byTask  map[string]protocol.Status
	changed signal
}

// Progress takes the latest progress of a task. It does not block; what comes
// faster than once a second is replaced by what follows it.
func (o *Outbox) Progress(s protocol.Status) {
	o.latest.mu.Lock()
	if o.latest.byTask == nil {
		o.latest.byTask = map[string]protocol.Status{}
	}
	o.latest.byTask[s.TaskID] = s
	o.latest.mu.Unlock()
	o.latest.changed.fire()
}

// said drops progress that a transition has overtaken.
func (p *progress) said(task string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byTask, task)
}

func (p *progress) take() map[string]protocol.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.byTask
	p.byTask = nil
	return taken
}

func (o *Outbox) sendProgress(ctx context.Context) error {
	taken := o.latest.take()
	if len(taken) == 0 || o.opts.Publisher == nil {
		return nil
	}
	for _, s := range taken {
		raw, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if err := o.opts.Publisher.Send(protocol.StatusSubject(o.opts.ServerID), raw); err != nil {
			return nil // newer progress will do
		}
	}
	select {
	case <-time.After(progressPause):
	case <-ctx.Done():
	}
	return nil
}
