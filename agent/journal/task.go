package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"devserver-agent/protocol"
)

// ErrEnded is returned for a transition of a task that has its verdict: the
// first terminal record wins.
var ErrEnded = errors.New("task has its verdict")

// ErrStatusLimit is returned when only the verdict may still be reported.
var ErrStatusLimit = errors.New("task has reported as many transitions as it may")

// Task is one task's folder. All methods may be called concurrently.
type Task struct {
	id    string
	dir   string
	store *Store

	damage error // why the log could not be read to its end, or nil

	mu  sync.Mutex
	log *log
	replay
	cursor   Cursor
	finished bool
}

// replay is what a log says, indexed.
type replay struct {
	accept   AcceptRecord
	statuses []StatusRecord
	memos    map[memoKey]json.RawMessage
	attempts map[stepKey][]Attempt
	starts   []StartRecord
	restarts []RestartRecord
	cancel   *CancelRecord
	damaged  *DamageRecord
	last     Record // for the time it was written
}

type memoKey struct {
	item int
	name string
}

type stepKey struct {
	item int
	step string
}

// Attempt is one start of a step and, once it is known, its end.
type Attempt struct {
	StartRecord
	End *EndRecord
}

func (r *replay) fold(rec Record) {
	r.last = rec
	switch {
	case rec.Accept != nil:
		r.accept = *rec.Accept
	case rec.Status != nil:
		r.statuses = append(r.statuses, *rec.Status)
	case rec.Memo != nil:
		r.memos[memoKey{rec.Memo.Item, rec.Memo.Name}] = rec.Memo.Value
	case rec.Restart != nil:
		r.putRestart(*rec.Restart)
	case rec.Start != nil:
		rec.Start.Boot, rec.Start.At = rec.Boot, rec.At
		key := stepKey{rec.Start.Item, rec.Start.Step}
		r.attempts[key] = append(r.attempts[key], Attempt{StartRecord: *rec.Start})
		r.starts = append(r.starts, *rec.Start)
	case rec.End != nil:
		attempts := r.attempts[stepKey{rec.End.Item, rec.End.Step}]
		for i := range attempts {
			if attempts[i].Attempt == rec.End.Attempt {
				attempts[i].End = rec.End
			}
		}
	case rec.Cancel != nil:
		r.cancel = rec.Cancel
	case rec.Damage != nil:
		r.damaged = rec.Damage
	}
}

// ended reports whether the task has its verdict.
func (r *replay) ended() bool {
	n := len(r.statuses)
	return n > 0 && r.statuses[n-1].Status.Status.Terminal()
}

// newest is the number of the newest status, 0 if there is none.
func (r *replay) newest() int {
	if n := len(r.statuses); n > 0 {
		return r.statuses[n-1].Status.Seq
	}
	return 0
}

func newReplay() replay {
	return replay{memos: map[memoKey]json.RawMessage{}, attempts: map[stepKey][]Attempt{}}
}

// ID is the task's id.
func (t *Task) ID() string { return t.id }

// Dir is the task's folder.
func (t *Task) Dir() string { return t.dir }

// Damage says why the task's log could not be read, or nil. A damaged task can
// only be given its verdict.
func (t *Task) Damage() error { return t.damage }

// Accepted is the first record of the log.
func (t *Task) Accepted() AcceptRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.accept
}

// Statuses are the transitions so far, oldest first.
func (t *Task) Statuses() []StatusRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.statuses)
}

// Latest is the newest transition.
func (t *Task) Latest() protocol.Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.statuses) == 0 {
		return protocol.Status{}
	}
	return t.statuses[len(t.statuses)-1].Status
}

// Cancelled is the cancel that reached the task, or nil.
func (t *Task) Cancelled() *CancelRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cancel
}

// Say records a transition. It fills in who speaks and when, numbers the status
// and returns it as it will be sent. ErrEnded, and the verdict, after the
// verdict.
func (t *Task) Say(status protocol.Status) (protocol.Status, error) {
	status, err := t.say(status)
	if err == nil {
		t.store.changed(t)
	}
	return status, err
}

func (t *Task) say(status protocol.Status) (protocol.Status, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended() {
		return t.statuses[len(t.statuses)-1].Status, ErrEnded
	}
	if len(t.statuses) >= protocol.MaxStatuses-1 && !status.Status.Terminal() {
		return status, ErrStatusLimit
	}
	status = t.store.sign(status, t.accept, t.id)
	status.Seq = t.newest() + 1
	if t.damage != nil {
		// Statuses that are lost may have been sent. None of them had this number.
		status.Seq = protocol.MaxStatuses
	}
	return status, t.append(Record{Status: &StatusRecord{MsgID: randomHex(), Status: status}})
}

// sign fills in who says a status of a task, and when.
func (s *Store) sign(status protocol.Status, accept AcceptRecord, id string) protocol.Status {
	status.TaskID, status.ServerID = id, s.opts.ServerID
	if accept.Task != nil {
		status.JobID = accept.Task.JobID
		if status.ItemType == "" && status.Item < len(accept.Task.Items) {
			status.ItemType = accept.Task.Items[status.Item].Type
		}
	}
	status.InstallationID = s.installation.ID
	status.BootID, status.AgentVersion = s.opts.BootID, s.opts.Version
	status.Message = protocol.Clip(status.Message)
	status.At = protocol.Millis(time.Now())
	return status
}

// Sign fills in a status that is not journaled: progress. It carries the number
// of the newest transition.
func (t *Task) Sign(status protocol.Status) protocol.Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	status = t.store.sign(status, t.accept, t.id)
	status.Seq = t.newest()
	return status
}

// Cancel records a cancel, once, and reports whether it is new. A task with a
// verdict takes none.
func (t *Task) Cancel(reason string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil || t.ended() {
		return false, nil
	}
	return true, t.append(Record{Cancel: &CancelRecord{Reason: protocol.Clip(reason)}})
}

// Memo finds what was read under a name in an item.
func (t *Task) Memo(item int, name string) (json.RawMessage, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	value, ok := t.memos[memoKey{item, name}]
	return value, ok
}

// PutMemo records what was read.
func (t *Task) PutMemo(memo MemoRecord) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.append(Record{Memo: &memo})
}

// Attempts are the recorded starts of a step, oldest first.
func (t *Task) Attempts(item int, step string) []Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.attempts[stepKey{item, step}])
}

// Starts are all recorded starts in the order they were made.
func (t *Task) Starts() []StartRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.starts)
}

// Stuck is the step that was left running when the task ended, and its folder
// below the task's; nil if there is none.
func (t *Task) Stuck() (end *EndRecord, dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, attempts := range t.attempts {
		for _, a := range attempts {
			if a.End != nil && a.End.Outcome == Stuck {
				end, dir = a.End, a.Dir
			}
		}
	}
	return end, dir
}

// PutStart records that an attempt is about to start. The caller has not
// started anything yet.
func (t *Task) PutStart(start StartRecord) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.append(Record{Start: &start})
}

// PutEnd records how an attempt ended.
func (t *Task) PutEnd(end EndRecord) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.append(Record{End: &end})
}

// Restart is the restart of the host that was asked for under a name, or nil.
func (t *Task) Restart(name string) *RestartRecord {
	for _, r := range t.Restarts() {
		if r.Name == name {
			return &r
		}
	}
	return nil
}

// putRestart counts how often a restart was asked for.
func (r *replay) putRestart(restart RestartRecord) {
	for i, known := range r.restarts {
		if known.Name == restart.Name {
			r.restarts[i].Asked++
			return
		}
	}
	restart.Asked = 1
	r.restarts = append(r.restarts, restart)
}

// Restarts are all restarts that were asked for, oldest first, each name once.
func (t *Task) Restarts() []RestartRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.restarts)
}

// PutRestart records that the host is about to be restarted, or that it is asked
// once more. The caller has not asked for it yet.
func (t *Task) PutRestart(restart RestartRecord) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.append(Record{Restart: &restart})
}

// Spent is the time the task has used: since it first ran, without the time the
// host was off.
func (t *Task) Spent() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Duration(t.store.stamp(Record{}, t.last).Spent) * time.Millisecond
}

// append writes a record; t.mu is held.
func (t *Task) append(rec Record) error {
	if t.damage != nil && rec.End == nil && rec.Cancel == nil && (rec.Status == nil || !rec.Status.Status.Status.Terminal()) {
		return fmt.Errorf("task %s: %w", t.id, t.damage)
	}
	rec = t.store.stamp(rec, t.last)
	rec.N = t.log.next
	if err := t.store.Write(func() error { return t.log.append(rec) }); err != nil {
		return fmt.Errorf("task %s: %w", t.id, err)
	}
	t.fold(rec)
	if t.store.recorded != nil {
		t.store.recorded(t.id, rec)
	}
	return nil
}

// stamp gives a record its times. A task's time runs from its first status of
// phase RUNNING on.
func (s *Store) stamp(rec, last Record) Record {
	rec.At, rec.Boot, rec.Uptime = protocol.Millis(time.Now()), s.opts.BootID, uptime()
	rec.Spent = last.Spent
	runs := last.Spent > 0 || last.Status != nil && last.Status.Status.Phase == protocol.Running
	if runs && last.Boot == rec.Boot {
		// At least 1 ms, so that a task that has begun to run is known to.
		rec.Spent += max(rec.Uptime-last.Uptime, 1)
	}
	return rec
}

func (t *Task) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.close()
}
