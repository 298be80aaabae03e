package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// log is an append-only file of records, synced at every append.
type log struct {
	file *os.File
	size int64 // of the part that is whole
	next int   // number of the next record
}

// openLog opens a log that is not damaged and cuts off a torn last record, which
// was never acted on because its append had not returned.
func openLog(path string) (*log, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	records, good, err := parse(data)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	l := &log{file: file, size: good, next: len(records) + 1}
	if good < int64(len(data)) {
		if err := l.rewind(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return l, nil
}

// append writes one record. After an error nothing of it is in the file.
func (l *log) append(r Record) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	_, err = l.file.WriteAt(line, l.size)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("append to %s: %w", l.file.Name(), err), l.rewind())
	}
	l.size += int64(len(line))
	l.next++
	return nil
}

func (l *log) rewind() error {
	if err := l.file.Truncate(l.size); err != nil {
		return fmt.Errorf("cut torn record: %w", err)
	}
	return l.file.Sync()
}

// close may be called again: a task that was being finished when the agent
// stopped has closed its log already.
func (l *log) close() error {
	if err := l.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// writeFile puts a file in place as a whole and for good: written beside it,
// synced, renamed, and the folder synced.
func writeFile(path string, data []byte) error {
	if err := replaceFile(path, data, true); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replaceFile puts a file in place as a whole; for good only if sync is set and
// the folder is synced too.
func replaceFile(path string, data []byte, sync bool) error {
	temp := path + ".new"
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil && sync {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, path)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
