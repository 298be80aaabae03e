//go:build container

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// says waits until a job's only task says something.
func (f *fleet) says(id, what string) {
	f.t.Helper()
	wait.Until(f.t, "the task says "+what, func() error {
		j, err := f.job(id)
		if err == nil && !strings.Contains(j.Tasks[0].Message, what) {
			err = errors.New(j.Tasks[0].Message)
		}
		return err
	})
}

// Who asked logind to block a shutdown is named and waited for.
func TestContainerARestartWaitsForAnInhibitor(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 200*time.Millisecond)
	h.MustRun("systemd-run", "--unit=backup", "systemd-inhibit", "--what=shutdown", "--mode=block", "--who=backup", "--why=the tape runs", "sleep", "infinity")
	id := f.upgrade(goalA2, h.server)
	f.says(id, "the tape runs")
	if h.Boots() != 1 {
		t.Error("it did not wait")
	}
	h.MustRun("systemctl", "stop", "backup")
	h.succeeded(f, id, 2)
}

// While an installer runs, logind knows that the host must stay up.
func TestContainerAFlashInhibitsAShutdown(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 1500*time.Millisecond)
	id := f.upgrade(goalA2, h.server)
	wait.Until(t, "the shutdown is blocked", func() error {
		out, err := h.Run("systemd-inhibit", "--list", "--no-legend")
		if err == nil && !strings.Contains(out, "must not be cut") {
			err = errors.New(out)
		}
		return err
	})
	h.succeeded(f, id, 2)
}

// delayed has a host announce its restarts.
func (h *unitHost) delayed(by time.Duration) {
	h.t.Helper()
	text, err := os.ReadFile(h.Path(fakeConfig))
	h.must(err)
	h.must(os.WriteFile(h.Path(fakeConfig), []byte(strings.Replace(string(text), "reboot_command:", fmt.Sprintf("reboot_delay: %s, reboot_command:", by), 1)), 0o600))
	h.MustRun("systemctl", "restart", agentUnit)
}

// scheduled is what logind has planned.
func (h *unitHost) scheduled() string {
	return h.MustRun("busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "ScheduledShutdown")
}

// An operator's delay is logind's, and a cancel within it keeps the host up.
func TestContainerACancelWithinTheDelayKeepsTheHostUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 200*time.Millisecond)
	h.delayed(10 * time.Minute)
	id := f.upgrade(goalA2, h.server)
	wait.Until(t, "a restart is scheduled", func() error {
		if got := h.scheduled(); !strings.Contains(got, `"reboot"`) {
			return errors.New(got)
		}
		return nil
	})
	f.mustCtl("job", "cancel", id)
	if got := f.ended(id).Tasks[0]; got.Status != protocol.Deleted {
		t.Errorf("it ended %s %s: %s", got.Status, got.Code, got.Message)
	}
	if got := h.scheduled(); strings.Contains(got, `"reboot"`) {
		t.Errorf("logind still has %s", got)
	}
	if h.Boots() != 1 {
		t.Errorf("it was booted %d times", h.Boots())
	}
}

func TestContainerARestartComesAfterTheDelay(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 200*time.Millisecond)
	h.delayed(2 * time.Second)
	h.succeeded(f, f.upgrade(goalA2, h.server), 2)
}

// The agent of a host whose unit was disabled is not there after the restart; the
// verdict waits for it, and says what it says of others.
func TestContainerAUnitThatIsDisabledDelaysItsVerdict(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 3*time.Second)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	resume := h.hold()
	h.MustRun("systemctl", "disable", agentUnit)
	resume()
	h.AwaitBoot(2)
	if j, err := f.job(id); err != nil || j.Status == "FINISHED" {
		t.Errorf("it ended without its agent: %+v %v", j, err)
	}
	h.MustRun("systemctl", "start", agentUnit)
	h.succeeded(f, id, 2)
}
