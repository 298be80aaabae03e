// Package verdict ends tasks that no host will end, and writes the verdicts of
// finished jobs into their records.
//
// The control plane gives a verdict in three cases: a task was never accepted
// and has expired, its job was deleted, cancelled or halted before anybody
// accepted it, or its host accepted it and is lost. Each is published on
// condition that nothing newer of the host is in the stream, so an acceptance on
// its way wins. A host that may have a task of a job that is called off has
// HaltGrace to say so: with a link that is down it may have begun.
package verdict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// Options of a Judge.
type Options struct {
	JS   jetstream.JetStream
	View *view.View
	// LostAfter is how long an accepted task's host may be silent; zero: 24 h.
	LostAfter time.Duration
	// Born is when the stream was made, and Grace how long hosts then have to
	// tell again what they accepted before.
	Born  time.Time
	Grace time.Duration
	// HaltGrace is how long after its job was halted, cancelled or deleted a host
	// has to say that it had accepted its task; zero: 1 min. Listed tells whether
	// its mailbox has it.
	HaltGrace time.Duration
	Listed    func(ctx context.Context, server, task string) (bool, error)
	// Every is the time between two looks; zero: 10 s.
	Every time.Duration
	Log   *zap.Logger // nil: silent
}

// Judge gives the control plane's own verdicts.
type Judge struct {
	opts   Options
	log    *zap.Logger
	stream jetstream.Stream
	look   chan struct{}
}

// New makes a judge on the status stream. It does nothing before Run.
func New(ctx context.Context, opts Options) (*Judge, error) {
	if opts.LostAfter == 0 {
		opts.LostAfter = 24 * time.Hour
	}
	if opts.HaltGrace == 0 {
		opts.HaltGrace = time.Minute
	}
	if opts.Every == 0 {
		opts.Every = 10 * time.Second
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	stream, err := opts.JS.Stream(ctx, protocol.StatusStream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", protocol.StatusStream, err)
	}
	return &Judge{opts: opts, log: opts.Log, stream: stream, look: make(chan struct{}, 1)}, nil
}

// Look makes Run look now, after a job was deleted, cancelled or halted. It never blocks.
func (j *Judge) Look() {
	select {
	case j.look <- struct{}{}:
	default:
	}
}

// Run looks for tasks to end until ctx ends. Call it once the view is complete.
func (j *Judge) Run(ctx context.Context) {
	rules := view.Rules{
		LostAfter: j.opts.LostAfter, HaltGrace: j.opts.HaltGrace,
		Born: j.opts.Born, Trusted: j.opts.Born.Add(j.opts.Grace),
	}
	for {
		for _, overdue := range j.opts.View.Overdue(time.Now(), rules) {
			if err := j.give(ctx, overdue); err != nil && ctx.Err() == nil {
				j.log.Warn("verdict not given; it is tried again", zap.String("task", overdue.TaskID), zap.Error(err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-j.look:
		case <-time.After(j.opts.Every):
		}
	}
}

// ErrNothingLost is returned for a server without an open task that its loss
// would end.
var ErrNothingLost = errors.New("server has no accepted task without a verdict")

// Lost gives up a host at once, by an operator's word: all its accepted tasks of
// a project end, and those it did not accept while others wait for their slot.
// It returns how many.
func (j *Judge) Lost(ctx context.Context, project, server string) (int, error) {
	given := 0
	for _, overdue := range j.opts.View.LostTasks(project, server) {
		if err := j.give(ctx, overdue); err != nil {
			return given, err
		}
		given++
	}
	if given == 0 {
		return 0, ErrNothingLost
	}
	return given, nil
}

// ErrBehind is returned while the stream has newer statuses of a host than the
// view: what they say may be its acceptance.
var ErrBehind = errors.New("newer statuses of the host are on their way")

func (j *Judge) give(ctx context.Context, o view.Overdue) error {
	if o.Unlisted {
		if listed, err := j.opts.Listed(ctx, o.ServerID, o.TaskID); listed || err != nil {
			return err
		}
	}
	subject := protocol.StatusSubject(o.ServerID)
	var newest uint64
	msg, err := j.stream.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return fmt.Errorf("read newest status of %s: %w", o.ServerID, err)
	default:
		newest = msg.Sequence
	}
	if newest > j.opts.View.Folded() {
		return ErrBehind
	}
	// Looked at again now that newest is known: what came before it is folded.
	if !j.opts.View.StillOpen(o) {
		return nil
	}
	data, err := json.Marshal(protocol.Status{
		TaskID: o.TaskID, JobID: o.JobID, ServerID: o.ServerID, Status: o.Status, Phase: protocol.Done,
		Code: o.Code, Message: o.Message, At: time.Now().UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("encode verdict: %w", err)
	}
	_, err = j.opts.JS.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, jetstream.WithExpectLastSequencePerSubject(newest))
	if err != nil {
		return fmt.Errorf("publish %s for task %s: %w", o.Code, o.TaskID, err)
	}
	j.log.Info("verdict given", zap.String("task", o.TaskID), zap.String("server", o.ServerID), zap.String("code", string(o.Code)))
	return nil
}
