package outbox

import (
	"context"
	"sync"
	"time"

	"devserver-agent/protocol"
)

// progress keeps the latest progress of each task until it is sent.
type progress struct {
	mu     sync.Mutex
	byTask map[string]protocol.Status
	sender sender
}

// Progress takes the latest progress of a task. It does not block; what comes
// faster than once a second is replaced by what follows it. Nobody hears of that
// of local work.
func (o *Outbox) Progress(s protocol.Status) {
	if t := o.opts.Store.Open(s.TaskID); t == nil || t.Accepted().Local || o.opts.Publisher == nil {
		return
	}
	o.latest.put(map[string]protocol.Status{s.TaskID: s}, true)
	o.latest.sender.more.fire()
}

// put keeps progress to be sent. What was taken before does not replace what
// came since.
func (p *progress) put(latest map[string]protocol.Status, newer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byTask == nil {
		p.byTask = map[string]protocol.Status{}
	}
	for task, s := range latest {
		if _, known := p.byTask[task]; newer || !known {
			p.byTask[task] = s
		}
	}
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

// sendProgress sends what is the latest, then waits until more may be sent.
func (o *Outbox) sendProgress(ctx context.Context) error {
	taken := o.latest.take()
	if len(taken) == 0 {
		return nil
	}
	for task, s := range taken {
		raw, err := encode(s)
		if err != nil {
			return err
		}
		if err := o.opts.Publisher.Send(protocol.StatusSubject(o.opts.ServerID), raw); err != nil {
			o.latest.put(taken, false) // until the broker is back, or something newer comes
			return err
		}
		delete(taken, task)
	}
	select {
	case <-time.After(progressPause):
	case <-ctx.Done():
	}
	return nil
}
