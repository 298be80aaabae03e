// Package view is what one replica of the control plane knows, in memory: jobs,
// the state of their tasks, and the servers. It is folded from the broker's
// streams and lost with the process; nothing here is the only copy of anything.
//
// The first terminal status of a task, in the order of the stream, is its
// verdict. Later ones are kept as late and change nothing. A status counts only
// if its body names the server of its subject and a task that was given to it.
// All methods are safe for concurrent use.
package view

import (
	"sync"
	"time"

	"devserver-agent/controlplane/jobs"
	"devserver-agent/protocol"
)

// Options of a View. The functions are called without its lock and must not
// block; nil ones are not called.
type Options struct {
	// SilentAfter is how long a host may send nothing before its tasks say so;
	// zero: 3 minutes, which is three heartbeats.
	SilentAfter time.Duration
	// Changed is called when a server's mailbox may have to change: at once if
	// the host waits for it, soon otherwise.
	Changed func(server string, atOnce bool)
	// Ended is called when all tasks of a job have ended and its record does not
	// have their verdicts yet.
	Ended func(job string)
	// Halted is called when a job has reached its MaxFailures and its record does
	// not say so yet.
	Halted func(job string)
	// Told is called with every verdict a host gave, to look after its output.
	Told func(task string)
}

// View is the fold. Use New.
type View struct {
	opts Options

	mu       sync.RWMutex
	jobs     map[string]*job
	tasks    map[string]*task
	servers  map[string]*server
	hearing  time.Time // since when heartbeats can reach this process
	folded   uint64    // sequence of the last status taken in
	fleet    jobs.Fleet
	ordered  uint64 // revision of fleet
	watchers map[string]map[chan struct{}]bool
}

type job struct {
	record   jobs.Record
	revision uint64
	tasks    []*task // in the order of record.Servers
	open     int     // tasks without a verdict
	failed   int
	updated  int64
	window   int        // of tasks, those from here on never had their turn; see deal
	halt     *jobs.Halt // nil: MaxFailures was not reached
}

type task struct {
	id     string
	job    *job
	server *server
	place  int  // among the job's tasks
	turn   bool // it may be handed out; see deal

	acceptedBy string
	last       protocol.Status // the newest transition or progress
	taken      map[string]int  // by installation: the newest transition's number
	verdict    *jobs.Verdict
	late       []jobs.Verdict
	hostEnded  bool          // a terminal status of the host itself is known
	resend     map[int]int64 // by item: output is missing from here on
	outputSeen bool          // resend is what was seen, not what is not known
	updated    int64
	version    uint64
}

// New makes an empty view.
func New(opts Options) *View {
	if opts.SilentAfter == 0 {
		opts.SilentAfter = 3 * time.Minute
	}
	return &View{
		opts: opts, hearing: time.Now(),
		jobs: map[string]*job{}, tasks: map[string]*task{}, servers: map[string]*server{},
		watchers: map[string]map[chan struct{}]bool{},
	}
}

// effects are the calls that a change asks for, made after the lock is free.
type effects struct {
	changed []string // servers
	awaited []string // servers that wait for the change
	ended   string
	halted  string
	told    string
}

func (v *View) call(e effects) {
	if v.opts.Changed != nil {
		for _, server := range e.changed {
			v.opts.Changed(server, false)
		}
		for _, server := range e.awaited {
			v.opts.Changed(server, true)
		}
	}
	if e.halted != "" && v.opts.Halted != nil {
		v.opts.Halted(e.halted)
	}
	if e.ended != "" && v.opts.Ended != nil {
		v.opts.Ended(e.ended)
	}
	if e.told != "" && v.opts.Told != nil {
		v.opts.Told(e.told)
	}
}

func (v *View) serverLocked(id string) *server {
	s := v.servers[id]
	if s == nil {
		s = &server{id: id, active: map[string]*task{}}
		v.servers[id] = s
	}
	return s
}

// bump marks a task as changed for those who watch its job.
func (v *View) bump(t *task, at int64) {
	t.version++
	t.updated = max(t.updated, at)
	t.job.updated = max(t.job.updated, at)
	v.wake(t.job.record.ID)
}

func (v *View) wake(job string) {
	for c := range v.watchers[job] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Watch signals on the channel after every change of a job, several changes
// perhaps once, until stop is called.
func (v *View) Watch(job string) (changes <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watchers[job] == nil {
		v.watchers[job] = map[chan struct{}]bool{}
	}
	v.watchers[job][c] = true
	return c, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.watchers[job], c)
		if len(v.watchers[job]) == 0 {
			delete(v.watchers, job)
		}
	}
}

// Folded is the sequence of the last status that was taken in.
func (v *View) Folded() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.folded
}

// SetFolded tells that the stream of statuses was read up to sequence.
func (v *View) SetFolded(sequence uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.folded = max(v.folded, sequence)
}
