//go:build container

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

func TestContainerUpgradeByUnitsAndARestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 3*time.Second)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	resume := h.hold()
	running := h.flashes()
	if len(running) != 1 || !strings.HasPrefix(running[0], "devserver-flash@") || !strings.HasSuffix(running[0], ":0:01-install-firmware.service") {
		t.Errorf("the units that run are %v", running)
	}
	if got := h.MustRun("systemctl", "show", "--property=Slice", "--value", running[0]); got != "devserver-tasks.slice" {
		t.Errorf("its slice is %s", got)
	}
	resume()
	h.succeeded(f, id, 2)
	if left := h.MustRun("systemctl", "--failed", "--plain", "--no-legend"); left != "" {
		t.Errorf("units have failed: %s", left)
	}
}

// A unit that is asked for is inactive until its turn comes, and is waited for.
func TestContainerAUnitThatIsSlowToStart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 3*time.Second)
	h.put("/etc/systemd/system/slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 2\n")
	h.put("/etc/systemd/system/devserver-flash@.service.d/slow.conf", "[Unit]\nWants=slow.service\nAfter=slow.service\n")
	h.MustRun("systemctl", "daemon-reload")
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	if running := h.flashes(); len(running) != 1 || !strings.HasSuffix(running[0], ":0:01-install-firmware.service") {
		t.Errorf("the units that run are %v", running)
	}
	h.succeeded(f, id, 2)
}

// What only looks at the host is allowed to by the agent's own unit, locked down as
// it is, and what acts runs in units of its own.
func TestContainerExecutorsUnderTheUnit(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, time.Second)
	h.put(filepath.Join(fakeDir, "root/root/ascend/log/plog/plog.log"), "[ERROR] of a program\n")
	for item, says := range map[string]string{
		"DIAGNOSIS":              "PASS ",
		"DIAGNOSIS,level=stress": "PASS ",
		"DEVICE_LOG_COLLECT":     "in object store devserver-logs as ",
	} {
		j := f.ended(f.order(item, h.server))
		if task := j.Tasks[0]; task.Status != protocol.Success || !strings.Contains(task.Message, says) || strings.Contains(task.Message, "not permitted") {
			t.Errorf("%s ended %s %s: %s", item, task.Status, task.Code, task.Message)
		}
	}
	if kept := h.MustRun("ls", "/var/lib/devserver-agent/diagnosis"); strings.Count(kept, ".json") != 2 {
		t.Errorf("reports that are kept: %s", kept)
	}
}

// Whatever is done to the agent and to systemd while an installer runs, it goes on
// and its end is collected.
func TestContainerAStepOutlives(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(h *unitHost){
		"a restart of the agent": func(h *unitHost) { h.MustRun("systemctl", "restart", agentUnit) },
		"the death of the agent": func(h *unitHost) { h.MustRun("systemctl", "kill", "--signal=KILL", agentUnit) },
		"an agent that is stopped for a while": func(h *unitHost) {
			h.MustRun("systemctl", "stop", agentUnit)
			wait.Until(h.t, "the installer has ended", func() error {
				if units := h.flashes(); len(units) > 0 {
					return fmt.Errorf("%v run", units)
				}
				return nil
			})
			h.MustRun("systemctl", "start", agentUnit)
		},
		"a new systemd":              func(h *unitHost) { h.MustRun("systemctl", "daemon-reexec") },
		"systemctl reset-failed":     func(h *unitHost) { h.MustRun("systemctl", "reset-failed") },
		"the death of the bus":       func(h *unitHost) { h.MustRun("systemctl", "kill", "--signal=KILL", "dbus.service") },
		"a restart of the journal":   func(h *unitHost) { h.MustRun("systemctl", "restart", "systemd-journald.service") },
		"a stop of the bus for good": func(h *unitHost) { h.MustRun("systemctl", "stop", "dbus.socket", "dbus.service") },
		"a new binary of the agent":  (*unitHost).replaceAgent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			h := f.addUnit("host-1", goalA2, 1500*time.Millisecond)
			id := f.upgrade(goalA2, h.server)
			h.altering(fakehost.Firmware)
			do(h)
			h.succeeded(f, id, 2)
		})
	}
}

// replaceAgent is what a package manager does: a new file in the place of the old.
func (h *unitHost) replaceAgent() {
	h.t.Helper()
	h.MustRun("sh", "-c", "cp /usr/bin/devserver-agent /usr/bin/.new && mv /usr/bin/.new /usr/bin/devserver-agent")
	h.MustRun("systemctl", "restart", agentUnit)
}

// Somebody who restarts the host while an installer runs waits for it.
func TestContainerARestartByHandWaitsForAFlash(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 5*time.Second)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	if out, err := h.Run("systemctl", "reboot"); err != nil {
		t.Logf("systemctl reboot: %v %s", err, out)
	}
	h.AwaitBoot(2)
	ended := h.events().Of(fakehost.KindEnd, fakehost.FirmwareInstaller)
	if len(ended) != 1 || *ended[0].Exit != 0 {
		t.Errorf("the installer was cut: %+v", ended)
	}
	f.finished(id, map[string]string{h.server: goalA2.message()})
	h.judge(id, 1)
	if got := strings.Join(h.installs(), ", "); got != strings.Join(goalA2.inOrder(), ", ") {
		t.Errorf("installers: %s", got)
	}
}

// A pulled plug in the middle of an installer is named, and what it did is put
// right by a second, numbered attempt.
func TestContainerThePlugIsPulledWhileAnInstallerRuns(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 3*time.Second)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Driver)
	h.PowerCut()
	j := f.ended(id)
	h.judge(id, 1)
	if got := j.Tasks[0]; got.Status != protocol.Success || !strings.Contains(got.Message, "install-driver") || !strings.HasPrefix(got.Message, goalA2.message()) {
		t.Errorf("it ended %s %s: %s", got.Status, got.Code, got.Message)
	}
	if got := strings.Join(h.installs(), ", "); got != strings.Join(append(goalA2.inOrder(), "driver "+goalA2.to.Driver), ", ") {
		t.Errorf("installers: %s", got)
	}
}

// The service is ready when it can be, and its watchdog ends what hangs.
func TestContainerAnAgentThatHangsIsStartedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, time.Second)
	h.MustRun("sh", "-c", "mkdir -p /run/systemd/system/devserver-agent.service.d && printf '[Service]\\nWatchdogSec=1\\n' >/run/systemd/system/devserver-agent.service.d/watchdog.conf && systemctl daemon-reload && systemctl restart "+agentUnit)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	pid := h.MustRun("systemctl", "show", "--property=MainPID", "--value", agentUnit)
	h.MustRun("kill", "-STOP", pid)
	wait.Until(t, "it is started again", func() error {
		if now := h.MustRun("systemctl", "show", "--property=MainPID", "--value", agentUnit); now == pid || now == "0" {
			return errors.New("it is not")
		}
		return nil
	})
	h.succeeded(f, id, 2)
}

// What only an operator can mend is said once, and not tried for ever.
func TestContainerAConfigurationThatMakesNoSenseStopsTheService(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, time.Second)
	f.must(os.WriteFile(h.Path(fakeConfig), []byte("server_id: [\n"), 0o600))
	if out, err := h.Run("systemctl", "restart", agentUnit); err == nil {
		t.Errorf("it runs: %s", out)
	}
	status := h.MustRun("systemctl", "show", "--property=ExecMainStatus,NRestarts,ActiveState", agentUnit)
	if !strings.Contains(status, "ExecMainStatus=78") || !strings.Contains(status, "NRestarts=0") || !strings.Contains(status, "ActiveState=failed") {
		t.Errorf("systemd says %s", status)
	}
	if log := h.MustRun("journalctl", "--unit", agentUnit, "--no-pager"); !strings.Contains(log, fakeConfig) {
		t.Errorf("the journal does not name the file:\n%s", log)
	}
}

// The journal can be asked for the lines of a task, and of a step in it.
func TestContainerTheJournalKnowsTheTask(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 200*time.Millisecond)
	id := f.upgrade(goalA2, h.server)
	h.succeeded(f, id, 2)
	j, err := f.job(id)
	f.must(err)
	got := h.MustRun("journalctl", "--unit", agentUnit, "--output=cat", "DEVSERVER_TASK="+j.Tasks[0].ID, "DEVSERVER_JOB="+id, "DEVSERVER_ITEM=0", "DEVSERVER_STEP=install-firmware")
	if lines := strings.Split(got, "\n"); len(lines) != 2 || !strings.Contains(lines[0], "a step begins") || !strings.Contains(lines[1], "a step ended") {
		t.Errorf("the journal says:\n%s", got)
	}
	if warnings := h.MustRun("journalctl", "--unit", agentUnit, "--output=cat", "--priority=warning..warning"); !strings.Contains(warnings, "restarting the host") {
		t.Errorf("its warnings are:\n%s", warnings)
	}
}
