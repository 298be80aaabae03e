package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"devserver-agent/protocol"
)

// trimStep is how much must have come since the last hole before another is
// punched.
const trimStep = 1 << 20

// OutputPath is the file that an item's programs and executor append to.
func (t *Task) OutputPath(item int) string {
	return filepath.Join(t.dir, "output", strconv.Itoa(item))
}

// PrepareOutput makes an item's output ready to be appended to. Offsets never
// go back: if the host lost bytes that the broker already has, the file goes on
// where the broker's copy ends and says how many are missing.
func (t *Task) PrepareOutput(item int) error {
	file, err := os.OpenFile(t.OutputPath(item), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("output of task %s: %w", t.id, err)
	}
	info, err := file.Stat()
	sent := t.Cursor().Sent(item)
	if err == nil && info.Size() < sent {
		note := fmt.Sprintf("\n[the host lost the last %d bytes it had written here]\n", sent-info.Size())
		_, err = file.WriteAt([]byte(note), sent)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("output of task %s: %w", t.id, err)
	}
	return nil
}

// OutputSize is how many bytes an item has written, those released included.
func (t *Task) OutputSize(item int) int64 {
	info, err := os.Stat(t.OutputPath(item))
	if err != nil {
		return 0 // nothing was written
	}
	return info.Size()
}

// Outputs is the extent of every item's output, as a verdict carries it.
func (t *Task) Outputs() []protocol.ItemOutput {
	task := t.Accepted().Task
	if task == nil {
		return nil
	}
	outputs := make([]protocol.ItemOutput, len(task.Items))
	for i := range outputs {
		size := t.OutputSize(i)
		outputs[i] = protocol.ItemOutput{Bytes: size, Dropped: max(0, size-protocol.OutputHead-protocol.OutputTail)}
	}
	return outputs
}

// TrimOutput releases the middle of an output that has grown past its limit.
// The file keeps its length, so offsets stay what they are. punched is where
// the last hole ended, 0 at first; the end of the new one is returned.
func (t *Task) TrimOutput(item int, punched int64) (int64, error) {
	end := t.OutputSize(item) - protocol.OutputTail
	begin := max(punched, protocol.OutputHead)
	if end-begin < trimStep {
		return punched, nil
	}
	file, err := os.OpenFile(t.OutputPath(item), os.O_WRONLY, 0)
	if err != nil {
		return punched, fmt.Errorf("trim output of task %s: %w", t.id, err)
	}
	err = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, begin, end-begin)
	if err = errors.Join(err, file.Close()); err != nil {
		return punched, fmt.Errorf("trim output of task %s: %w", t.id, err)
	}
	return end, nil
}

// ReadOutput reads up to len(buf) bytes of an item's output at an offset, after
// what is read has been synced: nothing leaves the host that its disk may
// forget. An offset in the released middle is moved to its end; at is the
// offset of buf[0]. n is 0 when there is nothing more.
func (t *Task) ReadOutput(item int, offset int64, buf []byte) (at int64, n int, err error) {
	file, err := os.Open(t.OutputPath(item))
	if errors.Is(err, fs.ErrNotExist) {
		return offset, 0, nil
	}
	if err != nil {
		return offset, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return offset, 0, err
	}
	at, n = kept(info.Size(), offset, len(buf))
	if n == 0 {
		return at, 0, nil
	}
	if err := unix.Fdatasync(int(file.Fd())); err != nil {
		return at, 0, fmt.Errorf("sync output of task %s: %w", t.id, err)
	}
	n, err = file.ReadAt(buf[:n], at)
	return at, n, err
}

// kept finds the next piece at offset, of at most limit bytes, that is not in
// the released middle of an output of the given size.
func kept(size, offset int64, limit int) (at int64, n int) {
	end := size
	if hole := size - protocol.OutputTail; hole > protocol.OutputHead {
		switch {
		case offset < protocol.OutputHead:
			end = protocol.OutputHead
		case offset < hole:
			offset = hole
		}
	}
	return offset, int(max(0, min(end-offset, int64(limit))))
}
