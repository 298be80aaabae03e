package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"devserver-agent/agent/failpoint"
	"devserver-agent/agent/journal"
	"devserver-agent/executors"
	"devserver-agent/protocol"
)

// maxMemo bounds one memo, in bytes of JSON: a log is read whole.
const maxMemo = 256 << 10

var namePattern = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// host is what one item's executor sees of its host during one replay.
type host struct {
	readonly
	run       *run
	item      int
	asked     map[string]int // how often a step was asked for in this replay
	verifying bool
	// fault is why this item can only fail: the journal cannot be written, the
	// replay diverged, the task expired, a program is stuck. It stands whatever
	// the executor makes of it, and nothing is started after it.
	fault error
}

func newHost(r *run, item int) (*host, error) {
	if err := r.engine.opts.Store.Write(func() error { return r.task.PrepareOutput(item) }); err != nil {
		return nil, err
	}
	return &host{readonly: r.engine.readonly(), run: r, item: item, asked: map[string]int{}}, nil
}

// Memo implements executors.Host.
func (h *host) Memo(ctx context.Context, name string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("memo name %.80q is not letters, digits and hyphens", name)
	}
	if value, ok := h.run.task.Memo(h.item, name); ok {
		return value, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	value, err := fn(ctx)
	if err != nil {
		return nil, err
	}
	// What was read while the context ended may only say that it ended.
	if err := h.run.engine.stopping(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(value) > maxMemo || !json.Valid(value) {
		return nil, fmt.Errorf("memo %s is not JSON of at most %d bytes (it is %d bytes long)", name, maxMemo, len(value))
	}
	failpoint.Hit(failpoint.MemoRead)
	return value, h.record(h.run.task.PutMemo(journal.MemoRecord{Item: h.item, Name: name, Value: value}))
}

// record keeps the journal's first error and passes it on.
func (h *host) record(err error) error {
	if err == nil {
		return nil
	}
	err = journalError{err}
	if h.fault == nil {
		h.fault = err
	}
	return err
}

// Scratch implements executors.Host. A task's folder that was deleted stays so.
func (h *host) Scratch() (string, error) {
	all := filepath.Join(h.run.task.Dir(), "scratch")
	own := filepath.Join(all, strconv.Itoa(h.item))
	return own, h.record(h.run.engine.opts.Store.Write(func() error {
		for _, dir := range []string{all, own} {
			if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return nil
	}))
}

// Progress implements executors.Host.
func (h *host) Progress(percent int, what string) {
	h.run.engine.opts.Progress(h.run.task.Sign(protocol.Status{
		Progress: true, Status: protocol.Processing, Phase: h.phase(), Item: h.item, Step: h.run.step,
		Percent: min(max(percent, 0), 100), Message: what,
	}))
}

func (h *host) phase() protocol.Phase {
	if h.verifying {
		return protocol.Verifying
	}
	return protocol.Running
}

// Printf implements executors.Host.
func (h *host) Printf(format string, args ...any) {
	file, err := os.OpenFile(h.run.task.OutputPath(h.item), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(file, format, args...)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		// A report that does not fit on the disk must not fail the work.
		h.run.log.Sugar().Warnf("output of item %d: %v", h.item, err)
	}
	h.run.engine.opts.Store.Touch(h.run.task)
}

// leftOver is ErrDiverged when this replay did not ask for everything that was
// recorded as started before the step that is asked for now; "" is the end.
func (h *host) leftOver(now string) error {
	for _, start := range h.run.task.Starts() {
		if start.Item != h.item || start.Step == now || h.verifying != strings.HasPrefix(start.Step, executors.VerifyPrefix) {
			continue
		}
		if begun := len(visible(h.run.task.Attempts(h.item, start.Step))); h.asked[start.Step] < begun {
			return fmt.Errorf("%w: step %s was started %d times and is asked for %d times", executors.ErrDiverged, start.Step, begun, h.asked[start.Step])
		}
	}
	return nil
}
