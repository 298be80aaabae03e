package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// WhileConnected calls fn with a context that also ends when the connection to NATS is
// lost: a server that died takes the answers with it that it still owes. The error of fn
// is nats.ErrDisconnected then, and it is not known whether what was asked for was done. In
// a cluster the client may be told of the loss when it has another server already; a call
// that has just begun there ends too.
func (b *Broker) WhileConnected(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.session.present(), func() { cancel(nats.ErrDisconnected) })()
	err := fn(ctx)
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), nats.ErrDisconnected) {
		return fmt.Errorf("%w: %w", nats.ErrDisconnected, err)
	}
	return err
}

// session is the time from one loss of the connection to the next.
type session struct {
	mu  sync.Mutex
	ctx context.Context // nil: nobody has asked for it
	end context.CancelFunc
}

// present is a context that ends when the connection is lost.
func (s *session) present() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.end = context.WithCancel(context.Background())
	}
	return s.ctx
}

// lost ends it.
func (s *session) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx != nil {
		s.end()
		s.ctx = nil
	}
}
