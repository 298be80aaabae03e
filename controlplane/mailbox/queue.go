package mailbox

import (
	"context"
	"sync"
	"time"
)

// queue holds the servers whose mailboxes want a look, each once. A server that
// is taken is given to nobody else until it is done.
type queue struct {
	soon time.Duration

	mu      sync.Mutex
	ready   []string
	state   map[string]state
	waiting chan struct{} // has a value when ready may have one
}

type state int

const (
	idle    state = iota
	later         // a timer will make it ready
	inLine        // in ready
	taken         // a worker has it
	touched       // a worker has it and it has to be looked at again
)

func newQueue(soon time.Duration) *queue {
	return &queue{soon: soon, state: map[string]state{}, waiting: make(chan struct{}, 1)}
}

func (q *queue) touch(server string, atOnce bool) {
	if atOnce {
		q.mu.Lock()
		q.enter(server)
		q.mu.Unlock()
		return
	}
	q.touchAfter(server, q.soon)
}

func (q *queue) touchAfter(server string, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch q.state[server] {
	case idle:
		q.state[server] = later
		time.AfterFunc(delay, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			if q.state[server] == later {
				q.enter(server)
			}
		})
	case taken:
		q.state[server] = touched
	}
}

func (q *queue) enter(server string) {
	switch q.state[server] {
	case idle, later:
		q.state[server] = inLine
		q.ready = append(q.ready, server)
		q.signal()
	case taken:
		q.state[server] = touched
	}
}

func (q *queue) signal() {
	select {
	case q.waiting <- struct{}{}:
	default:
	}
}

// take waits for a server; ok is false when ctx has ended.
func (q *queue) take(ctx context.Context) (server string, ok bool) {
	for {
		q.mu.Lock()
		if len(q.ready) > 0 {
			server = q.ready[0]
			q.ready = q.ready[1:]
			q.state[server] = taken
			if len(q.ready) > 0 {
				q.signal()
			}
			q.mu.Unlock()
			return server, true
		}
		q.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", false
		case <-q.waiting:
		}
	}
}

func (q *queue) done(server string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	again := q.state[server] == touched
	delete(q.state, server)
	if again {
		q.enter(server)
	}
}
