package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

	streams creations
}

// ErrForgot is returned by Watch when streams were deleted or recreated, and by Ensure
// when one was deleted meanwhile.
var ErrForgot = errors.New("the broker lost streams")

// creations maps the name of each existing stream of the contract to its creation time.
type creations map[string]time.Time

func (c creations) equal(other creations) bool { return maps.EqualFunc(c, other, time.Time.Equal) }

// lost names the streams of c that are missing in now or have another creation time.
func (c creations) lost(now creations) string {
	var lost []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if created, exists := now[name]; !exists {
			lost = append(lost, name+" is missing")
		} else if !created.Equal(c[name]) {
			lost = append(lost, name+" was recreated")
		}
	}
	return strings.Join(lost, ", ")
}

// contract are the names of all streams that Ensure makes, those of buckets too.
func contract() []string {
	names := []string{JobsStream, "KV_" + protocol.EnrolmentsBucket, "OBJ_" + protocol.LogsBucket}
	for _, config := range streams(Retention{}, 1) {
		names = append(names, config.Name)
	}
	return names
}

func (b *Broker) creations(ctx context.Context) (creations, error) {
	found := creations{}
	for _, name := range contract() {
		stream, err := b.JS.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return nil, fmt.Errorf("look up stream %s: %w", name, err)
		default:
			found[name] = stream.CachedInfo().Created
		}
	}
	return found, nil
}

func (b *Broker) epoch(ctx context.Context) (Epoch, error) {
	found, err := b.creations(ctx)
	if err != nil {
		return Epoch{}, err
	}
	for _, name := range contract() {
		if _, there := found[name]; !there {
			return Epoch{}, fmt.Errorf("%w: %s is missing", ErrForgot, name)
		}
	}
	mailbox, status := found[protocol.MailboxStream], found[protocol.StatusStream]
	e := Epoch{ID: fmt.Sprintf("%x-%x", mailbox.UnixNano(), status.UnixNano()), Born: mailbox, streams: found}
	if status.After(mailbox) {
		e.Born = status
	}
	return e, nil
}

// Watch returns ErrForgot when a stream that e knew is gone or is another one, or nil
// when ctx ends. It checks every interval and acts on a change that two checks in a row
// see: nats-server 2.15 accepts a stream while one of the same name is being deleted, and
// then removes the folder of the new one. A check that fails is skipped.
func (b *Broker) Watch(ctx context.Context, e Epoch, interval time.Duration) error {
	return e.watch(ctx, interval, func() (creations, error) {
		now, err := b.creations(ctx)
		if err != nil {
			b.log.Debug("check of the streams failed", zap.Error(err))
		}
		return now, err
	})
}

func (e Epoch) watch(ctx context.Context, interval time.Duration, look func() (creations, error)) error {
	last := e.streams
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
		now, err := look()
		if err != nil {
			continue
		}
		if lost := e.streams.lost(now); lost != "" && now.equal(last) {
			return fmt.Errorf("%w: %s", ErrForgot, lost)
		}
		last = now
	}
}
