package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/controlplane/broker"
)

// Order is what an operator said of a job or of the whole fleet.
type Order struct {
	At     int64  `json:"at"` // ms, the control plane's clock
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// Halt says that so many tasks of a job had failed that no more were handed out.
type Halt struct {
	At     int64 `json:"at"`     // ms, the broker's clock: when the last of them failed
	Window int   `json:"window"` // of Servers, those from here on were never handed a task
}

// ErrEnded is returned for an order that comes too late for its job.
var ErrEnded = errors.New("job has ended")

// Pause keeps a job from handing out anything new. The first pause stays until
// Resume. A job that was deleted, was cancelled or has ended is ErrEnded.
func (s *Store) Pause(ctx context.Context, id string, o Order) (Record, uint64, error) {
	return s.order(ctx, id, func(r *Record) bool {
		if r.Paused != nil {
			return false
		}
		r.Paused = &o
		return true
	})
}

// Resume ends a pause, or changes nothing. Its errors are those of Pause.
func (s *Store) Resume(ctx context.Context, id string) (Record, uint64, error) {
	return s.order(ctx, id, func(r *Record) bool {
		changed := r.Paused != nil
		r.Paused = nil
		return changed
	})
}

// Cancel ends a job as Delete does and leaves it in the lists. A second time
// changes nothing; a job that was deleted or has ended is ErrEnded.
func (s *Store) Cancel(ctx context.Context, id string, o Order) (Record, uint64, error) {
	r, revision, err := s.order(ctx, id, func(r *Record) bool {
		r.Cancelled = &o
		return true
	})
	if errors.Is(err, ErrEnded) && r.Cancelled != nil {
		return r, revision, nil
	}
	return r, revision, err
}

// order changes a job that can still be told something.
func (s *Store) order(ctx context.Context, id string, fn func(*Record) bool) (Record, uint64, error) {
	ended := false
	r, revision, err := s.change(ctx, id, func(r *Record) bool {
		at, _ := r.Revoked()
		if ended = at != 0 || len(r.Verdicts) > 0; ended {
			return false
		}
		return fn(r)
	})
	if err == nil && ended {
		err = fmt.Errorf("job %s: %w", id, ErrEnded)
	}
	return r, revision, err
}

// Halt notes that a job reached its MaxFailures. The first note stays.
func (s *Store) Halt(ctx context.Context, id string, h Halt) (Record, uint64, error) {
	return s.change(ctx, id, func(r *Record) bool {
		if r.Halted != nil {
			return false
		}
		r.Halted = &h
		return true
	})
}

// FleetKey is where the bucket keeps what holds for all jobs. It is no job's id.
const FleetKey = "fleet.orders"

// Fleet is what holds for all jobs.
type Fleet struct {
	Stopped *Order `json:"stopped,omitempty"` // nothing new is handed out anywhere
}

// DecodeFleet reads it as it is stored.
func DecodeFleet(value []byte) (Fleet, error) {
	var f Fleet
	if err := json.Unmarshal(value, &f); err != nil {
		return Fleet{}, fmt.Errorf("read orders of the fleet: %w", err)
	}
	return f, nil
}

// Stop keeps everything from handing out anything new. The first stop stays
// until Lift.
func (s *Store) Stop(ctx context.Context, o Order) (Fleet, uint64, error) {
	return s.changeFleet(ctx, func(f *Fleet) bool {
		if f.Stopped != nil {
			return false
		}
		f.Stopped = &o
		return true
	})
}

// Lift ends a stop, or changes nothing.
func (s *Store) Lift(ctx context.Context) (Fleet, uint64, error) {
	return s.changeFleet(ctx, func(f *Fleet) bool {
		changed := f.Stopped != nil
		f.Stopped = nil
		return changed
	})
}

func (s *Store) changeFleet(ctx context.Context, fn func(*Fleet) bool) (Fleet, uint64, error) {
	var err error
	for range casAttempts {
		f, revision, getErr := s.fleet(ctx)
		if getErr != nil {
			return Fleet{}, 0, getErr
		}
		if !fn(&f) {
			return f, revision, nil
		}
		value, encodeErr := json.Marshal(f)
		if encodeErr != nil {
			return Fleet{}, 0, fmt.Errorf("encode orders of the fleet: %w", encodeErr)
		}
		if revision == 0 {
			revision, err = s.kv.Create(ctx, FleetKey, value)
		} else {
			revision, err = s.kv.Update(ctx, FleetKey, value, revision)
		}
		if err == nil {
			return f, revision, nil
		}
		if !broker.LostRace(err) && !errors.Is(err, jetstream.ErrKeyExists) {
			break
		}
	}
	return Fleet{}, 0, fmt.Errorf("change orders of the fleet: %w", err)
}

func (s *Store) fleet(ctx context.Context) (Fleet, uint64, error) {
	entry, err := s.kv.Get(ctx, FleetKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Fleet{}, 0, nil
	}
	if err != nil {
		return Fleet{}, 0, fmt.Errorf("read orders of the fleet: %w", err)
	}
	f, err := DecodeFleet(entry.Value())
	return f, entry.Revision(), err
}
