// Package fold reads the broker's streams into a view and keeps reading.
//
// Jobs come first, then mailboxes and what hosts say of themselves, then
// statuses: a status is judged by the jobs that are known. One whose job is not
// known is looked up, and if it carries its signed task the job is written
// again from it. Nothing is acknowledged and nothing is kept: who dies begins
// again from the streams.
package fold

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// Options of a Fold; all but Heartbeat and Log are needed.
type Options struct {
	Conn    *nats.Conn
	JS      jetstream.JetStream
	View    *view.View
	Store   *jobs.Store
	Trust   protocol.Keyring // whose tasks a job may be rebuilt from
	Mailbox func(server string, data []byte, sequence uint64)
	// Heartbeat is how often the broker shows to the reader of a stream that it is still
	// there. After two that do not come, as when one server of a cluster died, the stream
	// is read from another. Zero: 5 s; from 500 ms to 30 s.
	Heartbeat time.Duration
	Log       *zap.Logger // nil: silent
}

// Run reads all streams up to their ends at the time of the call and returns.
// Reading goes on until ctx ends. broker.Forgot(err): a stream was deleted meanwhile.
func Run(ctx context.Context, opts Options) error {
	f := &folding{Options: opts, log: opts.Log}
	if f.log == nil {
		f.log = zap.NewNop()
	}
	if err := f.follow(ctx, broker.JobsStream, f.job); err != nil {
		return err
	}
	scan, stop := context.WithCancel(ctx)
	err := f.follow(scan, protocol.MailboxStream, f.mailbox)
	stop()
	if err != nil {
		return err
	}
	if err := f.hear(ctx); err != nil {
		return err
	}
	for _, next := range []struct {
		stream string
		take   func(context.Context, jetstream.Msg, *jetstream.MsgMetadata)
	}{
		{protocol.FactsStream, f.facts}, {protocol.NoticeStream, f.notice}, {protocol.StatusStream, f.status},
	} {
		if err := f.follow(ctx, next.stream, next.take); err != nil {
			return err
		}
	}
	return nil
}

type folding struct {
	Options
	log *zap.Logger
}

// pullBytes bounds what the broker has on its way to this process, well below
// the limit at which it drops a slow connection.
const pullBytes = 4 << 20

// follow hands every message of a stream to take, one after the other, and
// returns when those that were there have been taken.
func (f *folding) follow(ctx context.Context, name string, take func(context.Context, jetstream.Msg, *jetstream.MsgMetadata)) error {
	stream, err := f.JS.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	last := stream.CachedInfo().State.LastSeq
	consumer, err := f.JS.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	caughtUp := make(chan struct{})
	reached := false
	reading, err := consumer.Consume(func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		if err != nil || ctx.Err() != nil {
			return
		}
		take(ctx, msg, meta)
		if !reached && (meta.Sequence.Stream >= last || meta.NumPending == 0) {
			reached = true
			close(caughtUp)
		}
	}, jetstream.PullMaxBytes(pullBytes), jetstream.PullHeartbeat(cmp.Or(f.Heartbeat, 5*time.Second)), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		f.log.Debug("stream reader is disturbed", zap.String("stream", name), zap.Error(err))
	}))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	context.AfterFunc(ctx, reading.Stop)
	return f.waitFor(ctx, stream, caughtUp)
}

// waitFor waits until the messages are taken, or none is left to take, since they may age
// out. ErrForgot: the stream was deleted, so that no further message will come.
func (f *folding) waitFor(ctx context.Context, stream jetstream.Stream, caughtUp <-chan struct{}) error {
	began := stream.CachedInfo()
	if began.State.Msgs == 0 {
		return nil
	}
	for {
		select {
		case <-caughtUp:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		info, err := stream.Info(ctx)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("%w: %s is missing", broker.ErrForgot, began.Config.Name)
		case err != nil: // it does not answer, or ctx ends
		case !info.Created.Equal(began.Created):
			return fmt.Errorf("%w: %s was recreated", broker.ErrForgot, began.Config.Name)
		case info.State.Msgs == 0:
			return nil
		}
	}
}

// hear subscribes to heartbeats, and notes when they could not be heard.
func (f *folding) hear(ctx context.Context) error {
	sub, err := f.Conn.Subscribe(protocol.PresenceSubject("*"), func(msg *nats.Msg) {
		var p protocol.Presence
		server := protocol.ServerOf(msg.Subject)
		if json.Unmarshal(msg.Data, &p) != nil || f.View.ApplyPresence(server, p, time.Now()) == view.Foreign {
			f.log.Debug("heartbeat refused", zap.String("server", server))
		}
	})
	if err != nil {
		return fmt.Errorf("listen for heartbeats: %w", err)
	}
	f.View.SetHearing(time.Now())
	states := f.Conn.StatusChanged(nats.CONNECTED)
	go func() {
		for {
			select {
			case <-ctx.Done():
				f.Conn.RemoveStatusListener(states)
				if err := sub.Unsubscribe(); err != nil {
					f.log.Debug("stop listening for heartbeats", zap.Error(err))
				}
				return
			case <-states:
				f.View.SetHearing(time.Now())
			}
		}
	}()
	return nil
}

func (f *folding) job(_ context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	id := strings.TrimPrefix(msg.Subject(), "$KV."+protocol.JobsBucket+".")
	gone := msg.Headers().Get("KV-Operation") != "" // deleted or purged
	if id == jobs.FleetKey {
		f.fleet(msg.Data(), gone, meta.Sequence.Stream)
		return
	}
	if gone {
		f.View.RemoveJob(id)
		return
	}
	record, err := jobs.Decode(msg.Data())
	if err != nil {
		f.log.Error("a job is left out; its record stays as it is for a version that can read it", zap.String("job", id), zap.Error(err))
		return
	}
	f.View.ApplyRecord(record, meta.Sequence.Stream)
}

func (f *folding) fleet(value []byte, gone bool, revision uint64) {
	var orders jobs.Fleet
	if !gone {
		var err error
		if orders, err = jobs.DecodeFleet(value); err != nil {
			f.log.Error("orders of the fleet cannot be read; those known stand", zap.Error(err))
			return
		}
	}
	f.View.ApplyFleet(orders, revision)
}

func (f *folding) mailbox(_ context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	if server := protocol.ServerOf(msg.Subject()); server != "" {
		f.Mailbox(server, msg.Data(), meta.Sequence.Stream)
	}
}

func (f *folding) facts(_ context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	var facts protocol.Facts
	server := protocol.ServerOf(msg.Subject())
	if json.Unmarshal(msg.Data(), &facts) != nil || f.View.ApplyFacts(server, facts, meta.Timestamp) == view.Foreign {
		f.log.Warn("facts refused: unreadable, or of another server", zap.String("server", server))
	}
}

func (f *folding) notice(_ context.Context, msg jetstream.Msg, _ *jetstream.MsgMetadata) {
	var notice protocol.Notice
	server := protocol.ServerOf(msg.Subject())
	if json.Unmarshal(msg.Data(), &notice) != nil || f.View.ApplyNotice(server, notice) == view.Foreign {
		f.log.Warn("notice refused: unreadable, or of another server", zap.String("server", server))
	}
}
