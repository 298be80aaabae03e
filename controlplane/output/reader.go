// Package output reads what tasks printed, as far as the broker has it, and
// finds what is missing of it. Chunks carry offsets, so they may come twice and
// in any order.
package output

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

// Reader reads the output stream. It is safe for concurrent use.
type Reader struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

// Open opens the output stream, which exists.
func Open(ctx context.Context, js jetstream.JetStream) (*Reader, error) {
	stream, err := js.Stream(ctx, protocol.OutputStream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", protocol.OutputStream, err)
	}
	return &Reader{js, stream}, nil
}

// Read hands the chunks of a task to take in the order they came, and returns
// after the last one that is there now, or when ctx ends or take returns an
// error.
func (r *Reader) Read(ctx context.Context, server, task string, take func(protocol.Chunk) error) error {
	last, err := r.stream.GetLastMsgForSubject(ctx, protocol.OutputSubject(server, task))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read output of task %s: %w", task, err)
	}
	return r.each(ctx, server, task, func(c protocol.Chunk, sequence uint64) error {
		err := take(c)
		if err == nil && sequence >= last.Sequence {
			err = errEnd
		}
		return err
	})
}

// Follow is Read that goes on with what comes, until ctx ends or take returns
// an error.
func (r *Reader) Follow(ctx context.Context, server, task string, take func(protocol.Chunk) error) error {
	return r.each(ctx, server, task, func(c protocol.Chunk, _ uint64) error { return take(c) })
}

var errEnd = errors.New("end of output")

// pullBytes bounds what the broker has on its way to one reader.
const pullBytes = 1 << 20

func (r *Reader) each(ctx context.Context, server, task string, take func(protocol.Chunk, uint64) error) error {
	consumer, err := r.js.OrderedConsumer(ctx, protocol.OutputStream, jetstream.OrderedConsumerConfig{
		FilterSubjects:    []string{protocol.OutputSubject(server, task)},
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return fmt.Errorf("read output of task %s: %w", task, err)
	}
	defer r.forget(ctx, consumer)
	messages, err := consumer.Messages(jetstream.PullMaxBytes(pullBytes))
	if err != nil {
		return fmt.Errorf("read output of task %s: %w", task, err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read output of task %s: %w", task, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read output of task %s: %w", task, err)
		}
		var c protocol.Chunk
		if json.Unmarshal(msg.Data(), &c) != nil || !fits(c, server, task) {
			c = protocol.Chunk{TaskID: task, ServerID: server} // says nothing, and is counted
		}
		switch err := take(c, meta.Sequence.Stream); {
		case errors.Is(err, errEnd):
			return nil
		case err != nil:
			return err
		}
	}
}

// forget removes a consumer, which would stay for InactiveThreshold: a stream may
// have only so many. Where that cannot be said, the threshold does it.
func (r *Reader) forget(ctx context.Context, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if info := consumer.CachedInfo(); info != nil {
		_ = r.js.DeleteConsumer(ctx, protocol.OutputStream, info.Name)
	}
}

// fits reports whether a chunk is of the task on whose subject it came and
// keeps the bounds of the contract.
func fits(c protocol.Chunk, server, task string) bool {
	const farthest = 1 << 50
	return c.ServerID == server && c.TaskID == task && c.Item >= 0 && c.Item < protocol.MaxItems &&
		c.Offset >= 0 && c.Offset < farthest && len(c.Data) <= protocol.MaxChunk
}

// Seen is what the broker has of a task's output, by item.
func (r *Reader) Seen(ctx context.Context, server, task string) (map[int]*Ranges, error) {
	seen := map[int]*Ranges{}
	err := r.Read(ctx, server, task, func(c protocol.Chunk) error {
		if seen[c.Item] == nil {
			seen[c.Item] = &Ranges{}
		}
		seen[c.Item].Add(Span{c.Offset, c.Offset + int64(len(c.Data))})
		return nil
	})
	return seen, err
}

// Hole is what of an item's output the host has released: the bytes between
// those of the beginning and those of the end that are kept.
func Hole(item protocol.ItemOutput) Span {
	if item.Dropped <= 0 {
		return Span{}
	}
	return Span{protocol.OutputHead, max(protocol.OutputHead, item.Bytes-protocol.OutputTail)}
}

// Missing tells, by item, the first byte that is missing of what an ended
// task's host has. It is empty when nothing is.
func Missing(items []protocol.ItemOutput, seen map[int]*Ranges) map[int]int64 {
	from := map[int]int64{}
	for i, item := range items {
		have := seen[i]
		if have == nil {
			have = &Ranges{}
		}
		if missing := have.Missing(item.Bytes, Hole(item)); len(missing) > 0 {
			from[i] = missing[0].From
		}
	}
	return from
}
