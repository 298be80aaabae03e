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
	if err = errors.Join(fillGap(file, t.Cursor().Sent(item)), file.Close()); err != nil {
		return fmt.Errorf("output of task %s: %w", t.id, err)
	}
	return nil
}

func fillGap(file *os.File, sent int64) error {
	info, err := file.Stat()
	if err != nil || info.Size() >= sent {
		return err
	}
	note := fmt.Sprintf("\n[the host lost the last %d bytes it had written here]\n", sent-info.Size())
	if _, err = file.WriteAt([]byte(note), sent); err != nil {
		// Half a note would look like the program's own output.
		return errors.Join(err, file.Truncate(info.Size()))
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
// the last hole ended, 0 at first; the end of the new one is returned. Where the
// file system cannot release it, the disk goes on holding what nobody reads.
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
	if err = errors.Join(punch(file, begin, end), file.Close()); err != nil {
		return punched, fmt.Errorf("trim output of task %s: %w", t.id, err)
	}
	return end, nil
}

func punch(file *os.File, begin, end int64) error {
	for {
		err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, begin, end-begin)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		}
		return err
	}
}

// ReadOutput reads up to len(buf) bytes of an item's output at an offset, after
// what is read has been synced: nothing leaves the host that its disk may
// forget. An offset in the released middle is moved to its end; at is the
// offset of buf[0]. n is 0 when there is nothing more for now.
func (t *Task) ReadOutput(item int, offset int64, buf []byte) (at int64, n int, err error) {
	file, err := os.Open(t.OutputPath(item))
	if errors.Is(err, fs.ErrNotExist) {
		return offset, 0, nil
	}
	if err != nil {
		return offset, 0, err
	}
	defer file.Close()
	if at, n, err = pieceOf(file, offset, len(buf)); n == 0 || err != nil {
		return at, 0, err
	}
	if err := unix.Fdatasync(int(file.Fd())); err != nil {
		return at, 0, fmt.Errorf("sync output of task %s: %w", t.id, err)
	}
	if n, err = file.ReadAt(buf[:n], at); err != nil {
		return at, n, err
	}
	// The output may have grown so much meanwhile that this was released while it
	// was read: there is more to come then, and nothing for now.
	if again, _, err := pieceOf(file, offset, n); again != at || err != nil {
		return offset, 0, err
	}
	return at, n, nil
}

func pieceOf(file *os.File, offset int64, limit int) (at int64, n int, err error) {
	info, err := file.Stat()
	if err != nil {
		return offset, 0, err
	}
	at, n = kept(info.Size(), offset, limit)
	return at, n, nil
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
