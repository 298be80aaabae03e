package hdk

import (
	"context"
	"fmt"
	"time"

	"devserver-agent/executors"
)

// awaitRoom waits for room to unpack a package in: a disk that has become full since
// the plan was made holds an upgrade up, as it does everything else. After Patience the
// installer may say it itself. A memo, so that a replay does not wait for space that the
// installer itself is using.
func (r *run) awaitRoom(ctx context.Context, memo string, i install, percent int) error {
	_, err := executors.Memo(ctx, r.host, memo, func(ctx context.Context) (there bool, err error) {
		need := unpacked * i.Package.Size
		for began := time.Now(); time.Since(began) < r.Patience; {
			room, known := r.room()
			if !known || room >= need {
				return true, nil
			}
			r.host.Progress(percent, fmt.Sprintf("waiting for room: %s needs %d MiB, the agent's state directory has %d", i, need/mib, room/mib))
			if err := pause(ctx, r.Every); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	return err
}

// room is how many bytes are free where packages are unpacked.
func (r *run) room() (free int64, known bool) {
	dir, err := r.host.Scratch()
	if err == nil {
		free, err = r.Free(dir)
	}
	return free, err == nil
}
