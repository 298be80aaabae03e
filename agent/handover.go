package agent

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// HandOver ends Run as soon as no task runs on the host, for an agent that has
// the program and the configuration which are on the disk by then. Nothing new is
// begun until then; it is accepted and left to that agent. Calling it again
// changes nothing.
func (a *Agent) HandOver() {
	a.handOver.Do(func() { close(a.handingOver) })
}

// awaitRest lets Run end once it is to hand over and has come to rest.
func (a *Agent) awaitRest(ctx context.Context, end context.CancelFunc) {
	select {
	case <-a.handingOver:
	case <-ctx.Done():
		return
	}
	a.queue.Drain(true)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for running := a.queue.State().Running; len(running) > 0; running = a.queue.State().Running {
		a.opts.Log.Debug("the next agent waits for tasks to end", zap.Strings("tasks", running))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	a.opts.Log.Info("nothing runs: handing over to the next agent")
	end()
}
