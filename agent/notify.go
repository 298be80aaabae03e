package agent

import (
	"cmp"
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// askedWithin is how long the service waits to be ready for a broker that may
// not be there: what runs on the host does not need one.
const askedWithin = 10 * time.Second

// announce tells the service manager, if there is one, how the daemon does
// (sd_notify(3)): ready when the journal is open and the mailbox was asked for,
// alive as long as the engine answers, stopping when ctx ends.
func (a *Agent) announce(ctx context.Context) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		a.opts.Log.Warn("the service manager's watchdog is not fed", zap.Error(err))
	}
	select {
	case <-a.asked:
	case <-time.After(cmp.Or(a.opts.Timeouts.Broker, askedWithin)):
	case <-ctx.Done():
	}
	a.notify(daemon.SdNotifyReady)
	defer a.notify(daemon.SdNotifyStopping)
	if every == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		// An engine that is stuck never comes back from this.
		a.engine.Beat()
		a.notify(daemon.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *Agent) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		a.opts.Log.Warn("the service manager was not told", zap.String("state", state), zap.Error(err))
	}
}
