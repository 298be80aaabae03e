package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"devserver-agent/agent/failpoint"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// upgradePace is how long an installer takes in these tests: long enough for
// something to happen in its middle.
const upgradePace = 600 * time.Millisecond

// TestUpgradeCrash kills the agent, or a shim, at each line of the crash order
// during an upgrade: both installers run once, the host restarts once.
func TestUpgradeCrash(t *testing.T) {
	t.Parallel()
	twice := "\nNote: install-firmware was interrupted and started 2 times."
	for _, c := range []struct{ line, verb, point, note string }{
		{"01 before the task is accepted", "run", failpoint.BeforeAccept, ""},
		{"02 accepted and nobody told", "run", failpoint.Accepted, ""},
		// The archives of both check themselves before.
		{"03 a check prepared", "run", failpoint.StepPrepared, ""},
		{"03 a firmware installer prepared", "run", failpoint.StepPrepared + ":3", ""},
		{"03 a driver installer prepared", "run", failpoint.StepPrepared + ":4", ""},
		{"04 a check runs", "run", failpoint.StepStarted + ":2", ""},
		{"04 the firmware installer runs", "run", failpoint.StepStarted + ":3", ""},
		{"04 the driver installer runs", "run", failpoint.StepStarted + ":4", ""},
		{"05 a check's end not recorded", "run", failpoint.StepEnded, ""},
		{"05 the firmware installer's end not recorded", "run", failpoint.StepEnded + ":3", ""},
		{"05 the driver installer's end not recorded", "run", failpoint.StepEnded + ":4", ""},
		{"06 the restart recorded and not asked for", "run", failpoint.RestartRecorded, ""},
		{"07 the restart asked for", "run", failpoint.RestartAsked, ""},
		{"09 a status sent and not acknowledged", "run", failpoint.StatusSent + ":3", ""},
		{"the plan made and not recorded", "run", failpoint.MemoRead, ""},
		{"a judgement made and not recorded", "run", failpoint.MemoRead + ":7", ""},
		{"output sent and not noted", "run", failpoint.OutputSent + ":2", ""},
		{"the shim before its installer", "step.install-firmware", failpoint.ShimStarted, twice},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			h := f.addOld("host-1", goalP310, upgradePace)
			h.arm(c.verb, c.point)
			h.bootsAndFalls(400 * time.Millisecond)
			f.finished(f.upgrade(goalP310, h.server), map[string]string{h.server: goalP310.message() + c.note})
			h.reached(goalP310, goalP310.inOrder(), 1)
			if _, err := os.Stat(h.fuse(c.verb)); err == nil {
				t.Errorf("nothing was armed with %s", c.point)
			}
			if c.verb == "run" && h.agentDeaths() == 0 {
				t.Errorf("no agent died at %s", c.point)
			}
			f.said(checkStatuses)
		})
	}
}

// agentDeaths is how often the agent ended without its host.
func (h *npuHost) agentDeaths() int { return len(h.events().Of(fakehost.KindAgent, "end")) }

// The shim dies after its installer and before that is on disk: nobody knows how
// it ended, so it runs once more and the verdict says so.
func TestUpgradeCrashOfAShimAfterItsInstaller(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addOld("host-1", goalP310, upgradePace)
	h.arm("step.install-firmware", failpoint.ShimEnded)
	h.boots()
	note := "\nNote: install-firmware was interrupted and started 2 times."
	f.finished(f.upgrade(goalP310, h.server), map[string]string{h.server: goalP310.message() + note})
	order := goalP310.inOrder()
	h.reached(goalP310, []string{order[0], order[0], order[1]}, 1)
	f.said(checkStatuses)
}

// Line 8: the verdict is on disk and the broker does not have it. Whoever gives
// it is the agent after the restart's.
func TestUpgradeCrash08WithItsVerdictOnDisk(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addOld("host-1", goalP310, upgradePace)
	h.boots()
	id := f.upgrade(goalP310, h.server)
	f.begun(id) // by the first agent, which is not armed any more
	h.arm("run", failpoint.Verdict)
	f.finished(id, map[string]string{h.server: goalP310.message()})
	h.reached(goalP310, goalP310.inOrder(), 1)
	if h.agentDeaths() == 0 {
		t.Error("no agent died with its verdict")
	}
	f.said(checkStatuses)
}

// Line 10: an installer is cut in its middle. It is started once more, by the
// same plan, and the verdict says so.
func TestUpgradeCrash10AnInstallerIsCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind string
		how  string
		cut  func(*npuHost)
	}{
		{"firmware", "by a pulled plug", (*npuHost).powerCycle},
		{"firmware", "by a restart that nobody told of", (*npuHost).restarts},
		{"driver", "by a pulled plug", (*npuHost).powerCycle},
		{"driver", "by a restart that nobody told of", (*npuHost).restarts},
	} {
		t.Run(c.kind+" "+c.how, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			h := f.addOld("host-1", goalP310, upgradePace)
			// The first installer is still in its middle when it is cut, however busy the machine is.
			f.must(h.fake.SetFault(fakehost.InstallSlow, "kind="+c.kind, "factor=1000", "times=1"))
			h.boots()
			id := f.upgrade(goalP310, h.server)
			h.altering(c.kind)
			c.cut(h)
			note := fmt.Sprintf("\nNote: install-%s was interrupted by a restart of the host and started 2 times.", c.kind)
			f.finished(id, map[string]string{h.server: goalP310.message() + note})
			want := []string{"firmware " + goalP310.to.Firmware, "firmware " + goalP310.to.Firmware, "driver " + goalP310.to.Driver}
			if c.kind == "driver" { // the order does not flip because version.info is gone
				want[1] = want[2]
			}
			h.reached(goalP310, want, 1)
			f.said(checkStatuses)
		})
	}
}

// Line 11: the state directory is wiped while an installer runs. Whoever finds
// the host so does not know what was done, and does nothing.
func TestUpgradeCrash11AWipedStateDirectoryInstallsNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addOld("host-1", goalP310, upgradePace)
	h.boots()
	id := f.upgrade(goalP310, h.server)
	h.altering("firmware")
	h.freezeAgent() // it would notice, and stay down
	wait.Until(t, "the state directory is gone", func() error { return os.RemoveAll(h.stateDir()) })
	h.killAgent()
	j := f.ended(id)
	if task := j.Tasks[0]; task.Status != protocol.Failed || task.Code != protocol.HostReplaced {
		t.Errorf("the task ended %s %s: %s", task.Status, task.Code, task.Message)
	}
	wait.Until(t, "the installer has ended", func() error {
		if len(h.events().Of(fakehost.KindEnd, fakehost.FirmwareInstaller)) == 0 {
			return errors.New("it has not")
		}
		return nil
	})
	now := fmt.Sprintf("Driver: %[1]s | Firmware: %[3]s | running: driver %[1]s, firmware %[2]s", goalP310.from.Driver, goalP310.from.Firmware, goalP310.to.Firmware)
	f.finished(f.query(h.server), map[string]string{h.server: now}) // it takes part again
	if got := h.installs(); len(got) != 1 || h.restartsByAgent() != 0 {
		t.Errorf("installers %v, restarts %d", got, h.restartsByAgent())
	}
}

// Line 12: what is over does not come back, from a mailbox as it once was or
// from a broker that was restored.
func TestUpgradeCrash12NothingComesBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addOld("host-1", goalP310, upgradePace)
	h.boots()
	id := f.upgrade(goalP310, h.server)
	h.altering("firmware")
	older, err := f.mailbox(h.server)
	f.must(err)
	var box protocol.Mailbox
	if err := json.Unmarshal(older, &box); err != nil || len(box.Statements) != 1 {
		t.Fatalf("the mailbox is %s (%v)", older, err)
	}
	f.finished(id, map[string]string{h.server: goalP310.message()})
	for _, subject := range []string{protocol.PushSubject(h.server), protocol.MailboxSubject(h.server)} {
		f.must(f.publish(subject, older))
		h.killAgent()
		f.finished(f.query(h.server), nil)
	}
	h.reached(goalP310, goalP310.inOrder(), 1)
	f.said(checkStatuses)
}
