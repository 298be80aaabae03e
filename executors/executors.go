// Package executors is the contract between the agent and the kinds of work it
// can do, for those who write one.
//
// An executor brings a host to what one job item asks for. It is replayed: the
// agent may call Execute again from the top, after a crash or an upgrade of the
// agent or a restart of the host, and every action and every decision answers
// the second time from what was recorded the first time. An executor keeps that
// working by two rules. It touches the host only through Host. And whatever
// decides which actions follow is read inside a memo.
package executors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"devserver-agent/protocol"
)

// Executor brings a host to what one job item asks for.
//
// Execute may be called again from the top for the same item: after a crash or
// upgrade of the agent, or a restart of the host. It touches the host only
// through host, whose actions happen once and answer from the journal after
// that. It returns when ctx ends; context.Cause(ctx) is ErrCancelled, ErrDeadline
// or ErrStopping. After ErrStopping whatever it returns is thrown away and the
// item is replayed at the next start. An error ends the task FAILED; a *Failure
// gives it a code.
//
// One value serves all items of its type, several at once if it is shared.
type Executor interface {
	Execute(ctx context.Context, host Host, spec Spec) (Result, error)
}

// Describer is an Executor that says more of itself than the built-in catalogue
// does. Without it and outside the catalogue an executor has no parameters, is
// exclusive and may take an hour. Type is ignored; an empty Template or
// TimeoutSeconds is what it would be without Describe.
type Describer interface {
	Describe() protocol.ItemType
}

// Verifier is an Executor whose work shows only after the host restarted.
// Verify runs after the restart, or at once where there is none. It sees the
// memos of Execute, and its Result replaces Execute's. Names of the steps of its
// Commands begin with VerifyPrefix, those of Execute's do not.
type Verifier interface {
	Verify(ctx context.Context, host Host, spec Spec) (Result, error)
}

// VerifyPrefix begins the names of Verify's steps.
const VerifyPrefix = "verify-"

// Spec holds the parameters of an item. They were checked against the
// executor's description before it sees them; the zero value has none.
type Spec map[string]string

// Result is what an item reached.
type Result struct {
	Message string        // for the operator: what is now; becomes part of the task's message
	Code    protocol.Code // "" for plain success
	// RebootRequired says that what was done becomes active after a restart.
	RebootRequired bool
	// Unchanged says that the host was as it should be already. A task that asks
	// for a restart does without it when all its items say so.
	Unchanged bool
}

// Host is the only way an executor touches its host. Query, Files and
// Boot may be used concurrently, the rest must not be.
type Host interface {
	// Query runs a program that only reads and returns all it printed, standard
	// error included. argv[0] is a tool's name, looked up in the configuration
	// and then in the host's usual places, or an absolute path on the host. It
	// is no shell. Nothing is recorded. It ends after QueryTimeout at the latest
	// (ErrTimeout) or with more output than QueryLimit (ErrFlood, with what came
	// until then); a tool that is not there is ErrNotFound. An exit code other
	// than 0 is not an error.
	Query(ctx context.Context, argv ...string) (Reply, error)

	// Memo answers with the JSON that fn returned the first time it succeeded
	// under this name in this item. fn may run again when the agent dies before
	// the record, so it changes nothing on the host. Use the function Memo.
	Memo(ctx context.Context, name string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, error)

	// Command acts on the host once, however often the item is replayed.
	//
	// It records the step, starts the program so that it outlives the agent, and
	// waits. On a replay it answers from what the step left on disk: the
	// recorded end; else the running program, re-attached; else ErrInterrupted
	// when the program was cut in the middle. The caller may then look at the
	// host, inside a memo, and call Command with the same step once more: that
	// is the next attempt, and the verdict names it. A program past its deadline
	// is ended as cmd.Kill allows and gives ErrTimeout; with KillNever it goes on
	// and the error is ErrStuck. One that cmd.GiveUp gives up is ended, and the error is
	// ErrGivenUp. An exit code other than 0 is not an error.
	Command(ctx context.Context, cmd Command) (Exit, error)

	// Restart has the host restarted, once for each name, and returns nil in the
	// replay that follows the restart. Until then it returns ErrStopping: the
	// executor returns. ErrNoRestart: the task does not allow one.
	Restart(ctx context.Context, name string) error

	// Scratch is a folder of the item's own below the state directory, for root
	// only, kept until the task is closed. A memo may write there.
	Scratch() (string, error)

	// Progress reports how far the item is, 0 to 100, and with what. Only the
	// latest matters; none is kept.
	Progress(percent int, what string)

	// Printf writes to the item's output, where the programs' output goes too.
	Printf(format string, args ...any)

	// Files is the host's file system, to read. Names are without the leading
	// slash, as fs.FS wants them.
	Files() fs.FS

	// Boot is the id of the host's present boot, which another boot does not have; "" if
	// it is not known, and then nothing follows from it.
	Boot() string
}

// Bounds of Host.Query.
const (
	QueryTimeout = 20 * time.Second
	QueryLimit   = 1 << 20 // bytes
)

// Reply is what a Query printed and how it ended.
type Reply struct {
	Output []byte // standard output and error, in the order they came
	Code   int    // exit code; 128 plus the signal's number when killed by one
}

// Command is one action on the host.
type Command struct {
	// Step names the action; unique in its item and part of the compatibility
	// contract: another version of the executor uses the same name for the same
	// action. Letters, digits and hyphens, at most 64.
	Step  string
	Argv  []string // argv[0] as for Query
	Env   []string // NAME=value, beside what every program gets
	Dir   string   // its working folder; "": an empty one of the step's own
	Input []byte   // what it reads on standard input, kept with the step; nil: nothing
	// Temp gives every attempt a folder for temporary files of its own, as TMPDIR, on
	// the disk of the state directory and for root only. What is left there is deleted
	// when the task is closed, or at once where the attempt was cut.
	Temp    bool
	Timeout time.Duration // counted from the program's start; 0: until the item's deadline
	Kill    Kill
	Grace   time.Duration // between TERM and KILL; 0: 10 s
	// Watch is given what the program prints, in pieces as it comes, and all of
	// it before Command returns, but of more than WatchLimit bytes only these and the last
	// WatchEnd; on a replay again from the beginning. A piece is the callee's only during
	// the call. nil: nobody watches.
	Watch func(piece []byte)
	// GiveUp is asked again and again while the program runs, after Watch was given what it
	// printed until then: whether it can come to no good end any more, such as one that
	// asks when nobody answers. Then it is ended as with KillTree, whatever Kill says, and
	// Command returns ErrGivenUp; before the hard signal Watch is given what was printed
	// meanwhile and GiveUp is asked again, and a no lets the program live. Beside KillNever it must be sure that nothing is cut which
	// must not be. A recorded end is not asked about. nil: nothing is given up.
	GiveUp func() bool
	// SHA256 is that of argv[0]'s file, in hex, where the executor has just verified
	// it; "": the agent reads the file, unless it is large. It is for the audit log.
	SHA256 string
}

// WatchLimit and WatchEnd bound what Command.Watch is given of one attempt, in bytes.
const (
	WatchLimit = 8 << 20
	WatchEnd   = 64 << 10
)

// Kill says what may be done to a program that ran out of time or whose task
// was cancelled.
type Kill string

// The kill policies, the gentler the later.
const (
	KillTree     Kill = "tree"      // TERM, grace, then KILL to all it started
	KillTermOnly Kill = "term-only" // TERM, then wait
	KillNever    Kill = "never"     // wait; what it does must not be cut
)

// Exit is how a Command ended.
type Exit struct {
	Code    int       // exit code; 128 plus the signal's number when killed by one
	Signal  string    // such as "killed", when a signal ended it
	Attempt int       // 1, or more after interruptions
	Began   time.Time // by the host's clock; the same on a replay
	Took    time.Duration
}

// What Host's methods return, to be matched with errors.Is.
var (
	ErrNotFound    = errors.New("tool not found on this host")
	ErrTimeout     = errors.New("did not end in time")
	ErrGivenUp     = errors.New("was ended because it could come to no good end")
	ErrFlood       = errors.New("printed more than is reasonable")
	ErrInterrupted = errors.New("was cut in the middle")
	ErrDiverged    = errors.New("replay asks for something else than was recorded")
	ErrStuck       = errors.New("is still running and must not be killed")
	ErrNoRestart   = errors.New("the task does not allow a restart of the host")
)

// Causes of an ended context.
var (
	ErrCancelled = errors.New("task was cancelled")
	ErrDeadline  = errors.New("task ran out of time")
	ErrStopping  = errors.New("agent is stopping")
)

// Failure is an error with a code for the verdict.
type Failure struct {
	Code    protocol.Code
	Message string // what happened, what state the host is in, what to do
	Err     error  // why, or nil
}

func (f *Failure) Error() string { return f.Message }
func (f *Failure) Unwrap() error { return f.Err }

// Fail makes a Failure; %w in format keeps the cause.
func Fail(code protocol.Code, format string, args ...any) *Failure {
	err := fmt.Errorf(format, args...)
	return &Failure{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Memo is host.Memo for a value of type T, carried as JSON.
func Memo[T any](ctx context.Context, host Host, name string, fn func(context.Context) (T, error)) (T, error) {
	var value T
	raw, err := host.Memo(ctx, name, func(ctx context.Context) (json.RawMessage, error) {
		v, err := fn(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(v)
	})
	if err != nil {
		return value, err
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, fmt.Errorf("memo %s: %w: %w", name, ErrDiverged, err)
	}
	return value, nil
}
