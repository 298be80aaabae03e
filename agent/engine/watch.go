package engine

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"devserver-agent/agent/journal"
	"devserver-agent/executors"
)

// eavesdropper reads what an attempt prints for whoever watches it.
type eavesdropper struct {
	path string
	next int64 // offset in the item's output
	left int64 // bytes that are still told
	tell func([]byte)
}

func (h *host) eavesdrop(cmd executors.Command, start journal.StartRecord) *eavesdropper {
	return &eavesdropper{path: h.run.task.OutputPath(h.item), next: start.From, left: executors.WatchLimit, tell: cmd.Watch}
}

// upTo tells what lies before an offset of the item's output and was not told
// yet. What cannot be read, or was lost with the power, is not told.
func (e *eavesdropper) upTo(end int64) error {
	if e.tell == nil || e.next >= end || e.left <= 0 {
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
	buf := make([]byte, 64<<10)
	for e.next < end && e.left > 0 {
		n, err := file.ReadAt(buf[:min(int64(len(buf)), end-e.next, e.left)], e.next)
		if n > 0 {
			e.next += int64(n)
			e.left -= int64(n)
			e.tell(buf[:n])
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
