package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"devserver-agent/protocol"
)

const (
	sentFile = "sent.json"
	// gather is how long lines are waited for that come together.
	gather   = 2 * time.Second
	retryMax = 5 * time.Minute
)

// Sender publishes lines and returns when the broker has them.
type Sender func(ctx context.Context, lines []string) error

// sent is how far the log was sent; kept beside it, and not synced. Who dies before it
// is on disk sends lines again.
type sent struct {
	Seq int64 `json:"seq"`
}

// Forward sends what is added to the log, and what was not sent before, until ctx ends.
// failed is told of every attempt that came to nothing; it is made again.
// Lines that were put aside and removed before they could be sent are missing there, as
// their numbers tell.
func (l *Log) Forward(ctx context.Context, send Sender, failed func(error)) {
	if l == nil {
		return
	}
	f := &forwarder{log: l, send: send, done: l.readSent()}
	for pause := gather; ; {
		select {
		case <-ctx.Done():
			return
		case <-l.added:
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause/2 + rand.N(pause)):
			}
			err := f.all(ctx)
			if err == nil {
				break
			}
			failed(err)
			pause = min(2*pause, retryMax)
		}
		pause = gather
	}
}

type forwarder struct {
	log  *Log
	send Sender
	done int64 // number of the last line that was sent

	file   fs.FileInfo // where it stands, nil: nowhere yet
	offset int64       // behind it
}

// all sends every line there is.
func (f *forwarder) all(ctx context.Context) error {
	for f.done < f.log.last() {
		lines, upTo, err := f.next()
		if err == nil && len(lines) > 0 {
			err = f.send(ctx, lines)
		}
		if err != nil || len(lines) == 0 {
			f.file = nil // begin with the file's beginning
			return err
		}
		f.done = upTo
		if err := f.log.writeSent(f.done); err != nil {
			return err
		}
	}
	return nil
}

// next reads a message's worth of lines behind the last one that was sent, up to the
// line of number upTo.
func (f *forwarder) next() (batch []string, upTo int64, err error) {
	upTo = f.done
	name, offset, err := f.find()
	if err != nil || name == "" {
		return nil, upTo, err
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, upTo, err
	}
	defer file.Close()
	if f.file, err = file.Stat(); err != nil {
		return nil, upTo, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, upTo, err
	}
	size := 0
	for line, raw := range lines(file) {
		if line == nil {
			f.file = nil // it may be on its way to the disk: read the file again next time
			break
		}
		if line.Seq > upTo {
			if size += len(raw); size > protocol.MaxAuditLine && len(batch) > 0 {
				break
			}
			batch, upTo = append(batch, string(raw)), line.Seq
		}
		offset += int64(len(raw)) + 1
	}
	f.offset = offset
	return batch, upTo, nil
}

// find is the file that has the next line, and how much of it can be passed over.
func (f *forwarder) find() (name string, offset int64, err error) {
	files, err := Files(f.log.dir)
	if err != nil {
		return "", 0, err
	}
	for i, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			return "", 0, err
		}
		if f.file != nil && os.SameFile(info, f.file) && f.offset < info.Size() {
			return name, f.offset, nil
		}
		if i+1 == len(files) {
			return name, 0, nil
		}
		if first, err := firstSeq(files[i+1]); err != nil || first > f.done+1 {
			return name, 0, nil //nolint:nilerr // a new file may have no line yet
		}
	}
	return "", 0, nil
}

func (l *Log) last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// readSent is the number of the last line that was sent; one that cannot be known, or
// that is of a log that was lost, sends all again.
func (l *Log) readSent() int64 {
	var s sent
	raw, err := os.ReadFile(filepath.Join(l.dir, sentFile))
	if err != nil || json.Unmarshal(raw, &s) != nil || s.Seq > l.last() {
		return 0
	}
	return s.Seq
}

func (l *Log) writeSent(seq int64) error {
	raw, err := json.Marshal(sent{seq})
	if err != nil {
		return err
	}
	temp := filepath.Join(l.dir, sentFile+".new")
	if err := errors.Join(os.WriteFile(temp, raw, 0o600), os.Rename(temp, filepath.Join(l.dir, sentFile))); err != nil {
		return fmt.Errorf("audit log: note what was sent: %w", err)
	}
	return nil
}
