package power

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// answerTime is how long logind may take to answer.
const answerTime = 10 * time.Second

// logind is systemd-logind's manager (org.freedesktop.login1(5)). go-systemd's own
// client neither says whether a restart was refused nor knows schedules.
type logind struct{ manager dbus.BusObject }

// withLogind has do speak to logind. The connection outlives ctx until do returns:
// what was asked for may have to be taken back.
func withLogind(ctx context.Context, do func(logind) error) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	greeting := time.AfterFunc(answerTime, end)
	bus, err := dbus.ConnectSystemBus(dbus.WithContext(life))
	if err != nil {
		return fmt.Errorf("reach logind: %w", err)
	}
	defer bus.Close()
	greeting.Stop()
	return do(logind{bus.Object("org.freedesktop.login1", "/org/freedesktop/login1")})
}

func (l logind) call(ctx context.Context, method string, into any, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	call := l.manager.CallWithContext(ctx, "org.freedesktop.login1.Manager."+method, 0, args...)
	if into == nil || call.Err != nil {
		return call.Err
	}
	return call.Store(into)
}

// alreadyDown is logind's answer when the host is on its way down.
const alreadyDown = "org.freedesktop.login1.OperationInProgress"

// askLogind has logind restart the host after a delay, in which it tells those who
// are logged in.
func askLogind(ctx context.Context, why string, delay time.Duration) error {
	return withLogind(ctx, func(l logind) error {
		_ = l.call(ctx, "SetWallMessage", nil, why, true) // without it the restart is the same
		if delay == 0 {
			return l.asked(l.call(ctx, "Reboot", nil, false))
		}
		if err := l.asked(l.call(ctx, "ScheduleShutdown", nil, "reboot", uint64(time.Now().Add(delay).UnixMicro()))); err != nil {
			return err
		}
		over := time.NewTimer(delay)
		defer over.Stop()
		select {
		case <-over.C:
			return nil
		case <-ctx.Done():
			return l.callOff(context.WithoutCancel(ctx))
		}
	})
}

// asked is nil for an answer that means that the host goes down.
func (l logind) asked(err error) error {
	var answer dbus.Error
	if errors.As(err, &answer) && answer.Name == alreadyDown {
		return nil
	}
	return err
}

func (l logind) callOff(ctx context.Context) error {
	return l.call(ctx, "CancelScheduledShutdown", nil)
}

// GoingDown reports whether logind is taking the host down or is to do so at a
// time that has not come. Where nobody knows it is not.
func (r Restarter) GoingDown(ctx context.Context) bool {
	going := false
	_ = withLogind(ctx, func(l logind) error { // then it is not known
		preparing, err := l.manager.GetProperty("org.freedesktop.login1.Manager.PreparingForShutdown")
		if err == nil {
			going, _ = preparing.Value().(bool)
		}
		at, scheduled := l.scheduled()
		going = going || scheduled && time.Now().Before(at)
		return nil
	})
	return going
}

// scheduled is when the host is to go down.
func (l logind) scheduled() (at time.Time, is bool) {
	property, err := l.manager.GetProperty("org.freedesktop.login1.Manager.ScheduledShutdown")
	var plan struct {
		Type string
		USec uint64
	}
	if err != nil || dbus.Store([]any{property.Value()}, &plan) != nil || plan.Type == "" {
		return at, false
	}
	return time.UnixMicro(int64(plan.USec)), true
}

// CallOff takes back a restart that is scheduled. One that has begun goes on.
func (r Restarter) CallOff(ctx context.Context) error {
	if !r.logind() {
		return nil
	}
	return withLogind(ctx, func(l logind) error { return l.callOff(ctx) })
}

// inhibitor is an entry of ListInhibitors.
type inhibitor struct {
	What, Who, Why, Mode string
	UID, PID             uint32
}

// blockers are those who do not want the host to go down. One who only delays it
// is heard by logind itself.
func (l logind) blockers(ctx context.Context) ([]inhibitor, error) {
	var all, blocking []inhibitor
	if err := l.call(ctx, "ListInhibitors", &all); err != nil {
		return nil, fmt.Errorf("ask logind who inhibits a restart: %w", err)
	}
	for _, i := range all {
		if i.blocksShutdown() {
			blocking = append(blocking, i)
		}
	}
	return blocking, nil
}
