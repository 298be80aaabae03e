package fold

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// rebuildable is how long after it was issued a task may bring its job back. A
// deleted job's record is kept longer than this.
const rebuildable = 31 * 24 * time.Hour

func (f *folding) status(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	defer f.View.SetFolded(meta.Sequence.Stream)
	server := protocol.ServerOf(msg.Subject())
	var status protocol.Status
	if err := json.Unmarshal(msg.Data(), &status); err != nil {
		f.log.Warn("status refused: unreadable", zap.String("server", server), zap.Error(err))
		return
	}
	outcome := f.View.ApplyStatus(server, status, meta.Timestamp)
	if outcome == view.Unknown && f.findJob(ctx, server, status) {
		outcome = f.View.ApplyStatus(server, status, meta.Timestamp)
	}
	switch outcome {
	case view.Taken, view.Repeated:
	case view.Late:
		f.log.Info("status after the verdict", zap.String("server", server), zap.String("task", status.TaskID), zap.String("status", string(status.Status)))
	default:
		f.log.Warn("status refused", zap.String("server", server), zap.String("reason", string(outcome)), zap.Uint64("sequence", meta.Sequence.Stream))
	}
}

// findJob gets the job of a status into the view, from its record or from the
// task that the status carries. It is asked again until the broker answers:
// dropping the status would drop a verdict. That of an unreadable record waits in
// its stream for a version that can read it.
func (f *folding) findJob(ctx context.Context, server string, s protocol.Status) bool {
	for {
		record, revision, err := f.lookUp(ctx, server, s)
		switch {
		case err == nil:
			f.View.ApplyRecord(record, revision)
			return true
		case errors.Is(err, jobs.ErrNotFound):
			return false
		case errors.Is(err, jobs.ErrUnreadable):
			f.log.Error("a status of a job that was left out", zap.String("server", server), zap.Error(err))
			return false
		}
		f.log.Warn("cannot look up the job of a status; it is asked for again", zap.String("job", s.JobID), zap.Error(err))
		select {
		case <-ctx.Done():
			return false
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (f *folding) lookUp(ctx context.Context, server string, s protocol.Status) (jobs.Record, uint64, error) {
	record, revision, err := f.Store.Get(ctx, s.JobID)
	if err == nil && record.Has(server) || err != nil && !errors.Is(err, jobs.ErrNotFound) {
		return record, revision, err
	}
	task, payload, ok := f.signedTask(server, s)
	if !ok {
		return jobs.Record{}, 0, jobs.ErrNotFound
	}
	if err == nil { // a large job that is being rebuilt
		return f.Store.AddServer(ctx, s.JobID, server)
	}
	record, err = jobs.Rebuild(task, payload, time.Now())
	if err != nil {
		f.log.Warn("job not rebuilt", zap.Error(err))
		return jobs.Record{}, 0, jobs.ErrNotFound
	}
	f.log.Info("job rebuilt from what a host sent", zap.String("job", record.ID), zap.String("server", server))
	revision, err = f.Store.Create(ctx, record)
	if errors.Is(err, jobs.ErrExists) {
		return f.Store.AddServer(ctx, s.JobID, server)
	}
	return record, revision, err
}

// signedTask is the task that a status carries, if it was signed here, is the
// one the status speaks of, and is young enough.
func (f *folding) signedTask(server string, s protocol.Status) (task protocol.Task, payload []byte, ok bool) {
	if s.Envelope == nil {
		return task, nil, false
	}
	statement, err := f.Trust.Open(*s.Envelope, time.Now())
	if err != nil || statement.Task == nil {
		f.log.Warn("status carries no task that was signed here", zap.String("server", server), zap.Error(err))
		return task, nil, false
	}
	task = *statement.Task
	if task.TaskID != s.TaskID || task.JobID != s.JobID || task.ServerID != server ||
		time.Since(time.UnixMilli(task.IssuedAt)) > rebuildable {
		return task, nil, false
	}
	payload, err = s.Envelope.Content()
	return task, payload, err == nil
}
