package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"devserver-agent/agent/journal"
	"devserver-agent/executors"
)

// takenUp is the agent's own line in the output of an item that goes on after a restart.
// It stands wherever a program that outlived the agent was just then.
func takenUp(itemType string) string {
	return fmt.Sprintf("[%s is taken up again after a restart of the agent]\n", itemType)
}

// eavesdropper reads what an attempt prints for anyone who watches it, without the agent's
// own line.
type eavesdropper struct {
	path  string
	next  int64  // offset in the item's output
	size  int64  // of that output when it was looked at last
	left  int64  // bytes that are still reported
	own   []byte // the agent's line
	held  []byte // what may be the beginning of it
	watch func([]byte)
	full  func() bool // that no more is to be heard for now; nil: never
}

func (h *host) eavesdrop(cmd executors.Command, start journal.StartRecord) *eavesdropper {
	own := []byte(takenUp(h.run.accept.Task.Items[h.item].Type))
	return &eavesdropper{path: h.run.task.OutputPath(h.item), next: start.From, left: executors.WatchLimit, own: own, watch: cmd.Watch, full: cmd.GiveUp}
}

// upTo reports what lies before an offset of the item's output and was not reported
// yet, until full says that it is enough. What cannot be read, or was lost with the power, is not reported.
//
// A program that opens /dev/stderr to write, as "> /dev/stderr" does in a shell, empties its
// output. What is there then was printed since.
func (e *eavesdropper) upTo(end int64) error {
	if end < e.size {
		e.next = 0
	}
	e.size = end
	if e.watch == nil || e.next >= end || e.left <= 0 {
		return nil
	}
	file, err := os.Open(e.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	defer e.flush()
	buf := make([]byte, 64<<10)
	for e.next < end && e.left > 0 {
		n, err := file.ReadAt(buf[:min(int64(len(buf)), end-e.next, e.left)], e.next)
		if n > 0 {
			e.next += int64(n)
			e.left -= int64(n)
			e.pass(buf[:n])
		}
		if e.full != nil && e.full() {
			return nil // it is ended before the rest is heard
		}
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rest reports what is left when the program has ended: of an output that is longer than
// executors.WatchLimit only its end, where a program says what it came to.
func (e *eavesdropper) rest(end int64) error {
	e.full = nil
	if err := e.upTo(end); err != nil || e.left > 0 || e.next >= end {
		return err
	}
	e.next, e.left = max(e.next, end-executors.WatchEnd), executors.WatchEnd
	return e.upTo(end)
}

// pass reports a piece, but for the agent's line and what may be the beginning of one.
func (e *eavesdropper) pass(piece []byte) {
	piece = bytes.ReplaceAll(append(e.held, piece...), e.own, nil)
	held := min(len(piece), len(e.own)-1)
	for held > 0 && !bytes.HasPrefix(e.own, piece[len(piece)-held:]) {
		held--
	}
	if said := piece[:len(piece)-held]; len(said) > 0 {
		e.watch(said)
	}
	e.held = bytes.Clone(piece[len(piece)-held:])
}

// flush reports what was held: the agent's line is whole before a program is watched.
func (e *eavesdropper) flush() {
	if len(e.held) > 0 {
		e.watch(e.held)
	}
	e.held = nil
}
