package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
)

// What Store's methods return, to be matched with errors.Is.
var (
	ErrNotFound = errors.New("no such job")
	ErrExists   = errors.New("job exists")
	// ErrUnreadable is of a record that no version up to this one wrote. It stays as it is.
	ErrUnreadable = errors.New("the record of the job cannot be read")
)

// KeptDeleted is how long a deleted job is answered by its id, and Forgotten
// when its record goes. It outlives the status stream, so that no status of it
// can bring the job back.
const (
	KeptDeleted = 30 * 24 * time.Hour
	Forgotten   = KeptDeleted + 2*24*time.Hour
)

// Store is the bucket of jobs. All methods are safe for concurrent use, also by
// several replicas: every change is a compare-and-set.
type Store struct{ kv jetstream.KeyValue }

// Open opens the bucket, which exists.
func Open(ctx context.Context, js jetstream.JetStream) (*Store, error) {
	kv, err := js.KeyValue(ctx, protocol.JobsBucket)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", protocol.JobsBucket, err)
	}
	return &Store{kv}, nil
}

// Create writes a new job and returns the revision of its record. When a job
// has this id already it is ErrExists.
func (s *Store) Create(ctx context.Context, r Record) (revision uint64, err error) {
	value, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("encode job %s: %w", r.ID, err)
	}
	revision, err = s.kv.Create(ctx, r.ID, value)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return 0, fmt.Errorf("job %s: %w", r.ID, ErrExists)
	}
	if err != nil {
		return 0, fmt.Errorf("write job %s: %w", r.ID, err)
	}
	return revision, nil
}

// Get reads a job, or returns ErrNotFound or ErrUnreadable.
func (s *Store) Get(ctx context.Context, id string) (Record, uint64, error) {
	if !protocol.ValidID(id) {
		return Record{}, 0, ErrNotFound
	}
	entry, err := s.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Record{}, 0, fmt.Errorf("job %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Record{}, 0, fmt.Errorf("read job %s: %w", id, err)
	}
	r, err := Decode(entry.Value())
	if err != nil {
		return Record{}, 0, fmt.Errorf("job %s: %w", id, err)
	}
	return r, entry.Revision(), nil
}

// Decode reads a record as it is stored, or returns ErrUnreadable.
func Decode(value []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return r, nil
}

// Delete marks a job as deleted at the given time. A second time changes
// nothing.
func (s *Store) Delete(ctx context.Context, id string, at int64) (Record, uint64, error) {
	return s.change(ctx, id, func(r *Record) bool {
		if r.DeletedAt != 0 {
			return false
		}
		r.DeletedAt = at
		return true
	})
}

// Finish writes the verdicts of all tasks into the record. Those that are there
// already stay as they are.
func (s *Store) Finish(ctx context.Context, id string, verdicts map[string]Verdict, at int64) (Record, uint64, error) {
	return s.change(ctx, id, func(r *Record) bool {
		if len(r.Verdicts) > 0 {
			return false
		}
		r.Verdicts, r.FinishedAt = verdicts, at
		clipMessages(r.Verdicts)
		return true
	})
}

// AddServer adds a server that reported a task of a job that is being rebuilt.
func (s *Store) AddServer(ctx context.Context, id, server string) (Record, uint64, error) {
	return s.change(ctx, id, func(r *Record) bool {
		if r.Has(server) || len(r.Servers) >= r.ServerCount {
			return false
		}
		r.Servers = append(slices.Clone(r.Servers), server)
		return true
	})
}

// Forget removes the record of a job for good.
func (s *Store) Forget(ctx context.Context, id string, revision uint64) error {
	if err := s.kv.Purge(ctx, id, jetstream.LastRevision(revision)); err != nil {
		return fmt.Errorf("forget job %s: %w", id, err)
	}
	return nil
}

const casAttempts = 20

func (s *Store) change(ctx context.Context, id string, fn func(*Record) bool) (Record, uint64, error) {
	var err error
	for range casAttempts {
		r, revision, getErr := s.Get(ctx, id)
		if getErr != nil {
			return Record{}, 0, getErr
		}
		if !fn(&r) {
			return r, revision, nil
		}
		value, encodeErr := json.Marshal(r)
		if encodeErr != nil {
			return Record{}, 0, fmt.Errorf("encode job %s: %w", id, encodeErr)
		}
		if revision, err = s.kv.Update(ctx, id, value, revision); err == nil {
			return r, revision, nil
		}
		if !broker.LostRace(err) {
			break
		}
	}
	return Record{}, 0, fmt.Errorf("change job %s: %w", id, err)
}
