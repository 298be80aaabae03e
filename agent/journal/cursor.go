package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"devserver-agent/protocol"
)

// Cursor remembers what the broker acknowledged. It may lag behind: what is
// sent twice for that is told apart by its number or offset.
type Cursor struct {
	Seq    int     `json:"seq"`              // newest status acknowledged, 0: none
	Output []int64 `json:"output,omitempty"` // bytes acknowledged, per item
	Round  int     `json:"round,omitempty"`  // how often all was said again
	// VerdictAt is when the verdict was acknowledged, epoch ms.
	VerdictAt int64 `json:"verdict_at,omitempty"`
}

// Sent is the acknowledged offset of an item's output.
func (c Cursor) Sent(item int) int64 {
	if item >= len(c.Output) {
		return 0
	}
	return c.Output[item]
}

// SetSent moves an item's offset.
func (c *Cursor) SetSent(item int, offset int64) {
	for len(c.Output) <= item {
		c.Output = append(c.Output, 0)
	}
	c.Output[item] = offset
}

// Cursor is how far the broker has what the task said.
func (t *Task) Cursor() Cursor {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cursor
	c.Output = slices.Clone(c.Output)
	return c
}

// SetCursor changes the cursor and writes it. It is not synced: an older one
// costs a repetition, never a loss. The cursor of a finished task stays where it
// is, for another Task may have brought it back.
func (t *Task) SetCursor(change func(*Cursor)) error { return t.setCursor(change, false) }

func (t *Task) setCursor(change func(*Cursor), sync bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.finished {
		return nil
	}
	next := t.cursor
	next.Output = slices.Clone(next.Output)
	change(&next)
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	write := func() error { return replaceFile(filepath.Join(t.dir, "cursor"), raw, false) }
	if sync {
		write = func() error { return writeFile(filepath.Join(t.dir, "cursor"), raw) }
	}
	if err := t.store.Write(write); err != nil {
		return fmt.Errorf("cursor of task %s: %w", t.id, err)
	}
	t.cursor = next
	return nil
}

// Delivered reports whether the broker has the verdict, all that was said before
// and the output the verdict counts.
func (t *Task) Delivered() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.delivered()
}

func (t *Task) delivered() bool {
	if !t.ended() || t.cursor.Seq < t.newest() {
		return false
	}
	for i, output := range t.statuses[len(t.statuses)-1].Status.Items {
		if t.cursor.Sent(i) < output.Bytes {
			return false
		}
	}
	return true
}

// Acknowledged moves the cursor past a status that the broker has.
func (t *Task) Acknowledged(status protocol.Status) error {
	return t.SetCursor(func(c *Cursor) {
		c.Seq = max(c.Seq, status.Seq)
		if status.Status.Terminal() {
			c.VerdictAt = protocol.Millis(time.Now())
		}
	})
}

func readCursor(dir string) (Cursor, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "cursor"))
	if errors.Is(err, fs.ErrNotExist) {
		return Cursor{}, nil
	}
	if err != nil {
		return Cursor{}, err
	}
	var c Cursor
	if json.Unmarshal(raw, &c) != nil {
		// Not synced, so a power cut may leave anything: begin again.
		return Cursor{}, nil //nolint:nilerr // see above
	}
	return c, nil
}
