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
// costs a repetition, never a loss.
func (t *Task) SetCursor(change func(*Cursor)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.cursor
	next.Output = slices.Clone(next.Output)
	change(&next)
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := t.store.Write(func() error { return replaceFile(filepath.Join(t.dir, "cursor"), raw, false) }); err != nil {
		return fmt.Errorf("cursor of task %s: %w", t.id, err)
	}
	t.cursor = next
	return nil
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
		return Cursor{}, nil
	}
	return c, nil
}
