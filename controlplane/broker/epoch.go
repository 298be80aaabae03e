package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"devserver-agent/protocol"
)

// Epoch tells one life of the broker's memory from the next. An agent that sees
// another one says everything about its tasks again.
type Epoch struct {
	ID   string    // what mailboxes carry
	Born time.Time // the later creation time of the two streams it is made of, by the broker's clock

	streams map[string]time.Time // creation time of every stream of the contract
}

// ErrForgot is returned by Watch when streams were deleted or made anew.
var ErrForgot = errors.New("the broker lost streams")

func (b *Broker) epoch(ctx context.Context) (Epoch, error) {
	e := Epoch{streams: map[string]time.Time{}}
	names := []string{JobsStream}
	for _, config := range streams(Retention{}, 1) {
		names = append(names, config.Name)
	}
	for _, name := range names {
		stream, err := b.JS.Stream(ctx, name)
		if err != nil {
			return Epoch{}, fmt.Errorf("look up stream %s: %w", name, err)
		}
		e.streams[name] = stream.CachedInfo().Created
	}
	mailbox, status := e.streams[protocol.MailboxStream], e.streams[protocol.StatusStream]
	e.ID = fmt.Sprintf("%x-%x", mailbox.UnixNano(), status.UnixNano())
	e.Born = mailbox
	if status.After(mailbox) {
		e.Born = status
	}
	return e, nil
}

// Watch returns ErrForgot as soon as a stream that e knew is gone or is another
// one, or nil when ctx ends. It looks every interval; a broker that does not
// answer has forgotten nothing.
func (b *Broker) Watch(ctx context.Context, e Epoch, interval time.Duration) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
		now, err := b.epoch(ctx)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("%w: %w", ErrForgot, err)
		case err != nil:
			b.log.Debug("cannot look at the streams", zap.Error(err))
			continue
		}
		for name, created := range e.streams {
			if !now.streams[name].Equal(created) {
				return fmt.Errorf("%w: %s was made anew", ErrForgot, name)
			}
		}
	}
}
