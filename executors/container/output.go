package container

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// The output of a container is followed while it runs, and read once more when it has
// ended, because the follow of no engine gives all of it:
//
//   - Podman ends it at the log's end, 250 ms after it found that the container does not
//     run. One that is being stopped counts as such (4.3.1, libpod/container_log.go and
//     container_internal.go).
//   - Podman leaves out what is written while it reads: after half a line it goes on at
//     the log's end (nxadm/tail 1.4.8, tailFileSync).
//   - Podman never ends it when the container dies while it turns to the file of events,
//     which it reads from the end (container_log.go, events/logfile.go).
//   - Docker leaves out what was rotated away before it came there (moby,
//     daemon/logger/loggerutils/follow.go: "file rotations were missed"), and hung there
//     once (moby issue 39235).
//
// The log itself is whole when the engine says that the container has ended: conmon
// writes the exit code after it has synced the log (conmon.c), and Docker closes the
// log before the container counts as ended (moby, daemon/monitor.go).

const (
	lookEvery       = 5 * time.Second // whether a container that is followed has ended
	followAfterStop = time.Second     // how long a follow may go on after the container was stopped
	hurry           = 2 * time.Second // how long the log is read after the program was told to stop
)

var (
	errEnded = errors.New("the container has ended")
	errHurry = errors.New("there is no time for it, the task is being stopped")
)

// follow writes what the container prints until the engine says that this was all.
// Where the engine does not notice that the container has ended, follow does.
func (e engine) follow(ctx context.Context, name string, to io.Writer) error {
	following, cut := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		if e.seenEnded(following, name) {
			cut(errEnded)
		}
	})
	defer watch.Wait()
	defer cut(nil)
	err := e.logs(following, name, true, "all", to)
	if errors.Is(context.Cause(following), errEnded) {
		return nil
	}
	return err
}

// seenEnded looks at the container until it has ended; false: ctx ended before.
//
// It does not ask the engine to wait: Podman 4.3.1 keeps a processor busy for as long as
// somebody waits (container_api.go, WaitForExit). It looks twice, so that the engine has
// the time to notice: what is read of a systemd journal is whole only when the end is
// read from it too.
func (e engine) seenEnded(ctx context.Context, name string) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ended := 0; ended < 2; {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if s, err := e.inspect(ctx, name); answers(err, http.StatusNotFound) || err == nil && s.ended() {
			ended++
		}
	}
	return true
}

// complete writes what the log of a container that has ended has beyond what was
// printed. When stopping ends it hurries.
func (e engine) complete(stopping context.Context, name string, p *printed) error {
	ctx, cut := context.WithCancelCause(context.WithoutCancel(stopping))
	defer cut(nil)
	defer context.AfterFunc(stopping, func() {
		time.AfterFunc(hurry, func() { cut(errHurry) })
	})()
	err := e.resume(ctx, name, p)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// resume finds the place in the log first, and reads it again where what was printed is
// not how the log begins.
func (e engine) resume(ctx context.Context, name string, p *printed) error {
	place := p.place()
	if err := e.logs(ctx, name, false, "all", place); err != nil {
		return err
	}
	from, repeats := place.rest()
	if from == place.seen {
		return nil
	}
	if repeats {
		if err := p.note("[output is missing above. This is all that the container engine kept:]\n"); err != nil {
			return err
		}
	}
	return e.logs(ctx, name, false, "all", &skipper{p.to, from})
}
