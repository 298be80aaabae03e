package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"devserver-agent/controlplane/output"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// output answers with what a task printed: as text, item after item, or with
// Accept: text/event-stream as chunks with their offsets. follow=true, and
// every event stream, goes on until the task has ended and its output is here.
// item=N asks for one item. Bytes that nobody has are named where they lack.
func (a *api) output(w http.ResponseWriter, r *http.Request, b *Backend) error {
	j, err := find(r, b, r.PathValue("id"))
	if err != nil {
		return err
	}
	task, ok := findTask(j, r.PathValue("task_id"))
	if !ok {
		return fail(http.StatusNotFound, codeNotFound, "job %s has no task %.80q", j.ID, r.PathValue("task_id"))
	}
	query := r.URL.Query()
	only, err := number(query, "item")
	if err != nil {
		return err
	}
	if query.Get("item") == "" {
		only = -1
	}
	follow, err := strconv.ParseBool(first(query.Get("follow"), "false"))
	if err != nil {
		return badRequest("follow must be true or false, it is %.80q", query.Get("follow"))
	}
	events := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	s := &outputStream{api: a, backend: b, job: j.ID, task: task, only: only, seen: map[int]*output.Ranges{}}
	if s.sink, err = newSink(w, events, follow); err != nil {
		return nil //nolint:nilerr // the client is gone
	}
	if follow || events {
		return s.follow(r.Context())
	}
	return s.whole(r.Context())
}

func first(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func findTask(j view.Job, id string) (view.Task, bool) {
	for _, t := range j.Tasks {
		if t.ID == id {
			return t, true
		}
	}
	return view.Task{}, false
}

type outputStream struct {
	api     *api
	backend *Backend
	job     string
	task    view.Task
	only    int // one item, or -1 for all
	sink    sink
	seen    map[int]*output.Ranges
}

func (s *outputStream) wants(item int) bool { return s.only < 0 || s.only == item }

// whole writes what is there now.
func (s *outputStream) whole(ctx context.Context) error {
	err := s.backend.Output.Read(ctx, s.task.ServerID, s.task.ID, s.take)
	if err != nil {
		return err
	}
	return s.finish()
}

// drained is how long after a task's end its output is waited for.
const drained = 5 * time.Second

// follow writes what comes until the task has ended and nothing is missing, or
// is not coming any more.
func (s *outputStream) follow(ctx context.Context) error {
	changes, stop := s.backend.View.Watch(s.job)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks, failed := s.source(ctx)
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	var giveUp <-chan time.Time
	for {
		s.refresh()
		if s.task.Ended() && s.complete() {
			return s.finish()
		}
		if s.task.Ended() && giveUp == nil {
			giveUp = time.After(drained)
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-s.backend.Done:
			return nil
		case <-giveUp:
			return s.finish()
		case err = <-failed:
		case c := <-chunks:
			err = s.take(c)
		case <-beat.C:
			err = s.sink.beat()
		case <-changes:
		}
		if err != nil {
			return fmt.Errorf("follow output: %w", err)
		}
	}
}

// source reads chunks in a goroutine of its own until ctx ends.
func (s *outputStream) source(ctx context.Context) (<-chan protocol.Chunk, <-chan error) {
	chunks := make(chan protocol.Chunk)
	failed := make(chan error, 1)
	server, task := s.task.ServerID, s.task.ID
	go func() {
		failed <- s.backend.Output.Follow(ctx, server, task, func(c protocol.Chunk) error {
			select {
			case chunks <- c:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return chunks, failed
}

func (s *outputStream) refresh() {
	if j, ok := s.backend.View.Job(s.job); ok {
		if t, ok := findTask(j, s.task.ID); ok {
			s.task = t
		}
	}
}

// complete reports whether everything that the verdict names has come.
func (s *outputStream) complete() bool {
	for item := range output.Missing(s.task.Items, s.seen) {
		if s.wants(item) {
			return false
		}
	}
	return true
}

func (s *outputStream) take(c protocol.Chunk) error {
	if !s.wants(c.Item) || len(c.Data) == 0 {
		return nil
	}
	if s.seen[c.Item] == nil {
		s.seen[c.Item] = &output.Ranges{}
	}
	if !s.seen[c.Item].Add(output.Span{From: c.Offset, To: c.Offset + int64(len(c.Data))}) {
		return nil
	}
	return s.sink.chunk(c)
}

// finish names what is missing and ends the answer.
func (s *outputStream) finish() error {
	for i, item := range s.task.Items {
		if !s.wants(i) {
			continue
		}
		seen := s.seen[i]
		if seen == nil {
			seen = &output.Ranges{}
		}
		for _, missing := range seen.Missing(item.Bytes, output.Span{}) {
			if err := s.sink.gap(i, missing); err != nil {
				return err
			}
		}
	}
	return s.sink.end(s.api.taskAnswer(s.task))
}
