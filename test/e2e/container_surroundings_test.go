//go:build container

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/test/container"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// try runs the trial executor's steps on the host, as an operator would by hand.
func (h *unitHost) try(steps string) (string, error) {
	return h.Run("devserver-agent", "exec", "TRIAL", "program=/usr/bin/devserver-agent", "starts=/srv/starts", "steps="+steps)
}

// gives has the host's agent be one with the trial executor, and with some more
// lines in its configuration.
func (h *unitHost) gives(lines string) {
	h.t.Helper()
	config, err := h.get(fakeConfig)
	h.must(err)
	h.put(fakeConfig, string(config)+lines)
	install(h.t, h.Path("/srv/trial"), programs.TestAgent.Path(h.t))
	h.MustRun("install", "/srv/trial", "/usr/bin/.new")
	h.MustRun("mv", "/usr/bin/.new", "/usr/bin/devserver-agent")
	h.MustRun("systemctl", "restart", agentUnit)
}

// What a step may take is the configuration's to say, and a step that took more
// says why it was ended. One that must not be cut has no limit.
func TestContainerLimitsOfSteps(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, time.Second)
	h.gives("steps: {memory_max: 96MiB, tasks_max: 99}\n")
	limits := func(kind string) string {
		t.Helper()
		ended := make(chan error, 1)
		go func() {
			_, err := h.try("held:" + kind)
			ended <- err
		}()
		var said string
		wait.Until(t, "it runs", func() error {
			units := h.flashes()
			if len(units) != 1 {
				return errors.New("there is no unit of it")
			}
			said = h.MustRun("systemctl", "show", "--property=MemoryMax,TasksMax", units[0])
			return nil
		})
		f.must(os.WriteFile(h.Path("/srv/open"), nil, 0o600))
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return said
	}
	if got := limits("gate:/srv/open"); !strings.Contains(got, "MemoryMax=100663296") || !strings.Contains(got, "TasksMax=99") {
		t.Errorf("its limits are %s", got)
	}
	if got := limits("stubborn:1500"); !strings.Contains(got, "MemoryMax=infinity") || !strings.Contains(got, "TasksMax=infinity") {
		t.Errorf("the limits of what must not be cut are %s", got)
	}
	if out, err := h.try("big:greedy:300000000"); err == nil || !strings.Contains(out, "because its memory ran out") {
		t.Errorf("it ended with %v:\n%s", err, out)
	}
	if out, err := h.try("small:greedy:10000000"); err != nil {
		t.Errorf("it ended with %v:\n%s", err, out)
	}
	left, err := filepath.Glob(h.Path("/run/systemd/system.control/devserver-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("limits are left of steps that have ended: %v %v", left, err)
	}
}

// A host that never has a bus, and so no logind, is upgraded like any other.
func TestContainerWithoutABus(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addHost("host-1", goalA2, 200*time.Millisecond, container.Debian, func(root string) {
		for _, unit := range []string{"dbus.socket", "dbus.service", "systemd-logind.service"} {
			f.must(os.MkdirAll(filepath.Join(root, "etc/systemd/system"), 0o755))
			f.must(os.Symlink("/dev/null", filepath.Join(root, "etc/systemd/system", unit)))
		}
	})
	h.install()
	if out, err := h.Run("systemctl", "is-active", "dbus.service", "dbus.socket"); err == nil {
		t.Errorf("there is a bus: %s", out)
	}
	h.succeeded(f, f.upgrade(goalA2, h.server), 2)
}

// While systemd cannot be reached nothing is begun, and whoever asks is told.
func TestContainerSystemdThatCannotBeReached(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 200*time.Millisecond)
	if out, err := h.Run("devserver-agent", "doctor"); err != nil || !strings.Contains(out, "units of systemd") {
		t.Errorf("the doctor of a sound host ended with %v:\n%s", err, out)
	}
	h.MustRun("systemctl", "stop", "dbus.socket", "dbus.service")
	h.MustRun("mv", "/run/systemd/private", "/run/systemd/away")
	id := f.upgrade(goalA2, h.server)
	f.says(id, "waits to be started")
	if out, err := h.Run("devserver-agent", "doctor"); err == nil || !strings.Contains(out, "systemd cannot be reached") {
		t.Errorf("the doctor ended with %v:\n%s", err, out)
	}
	if got := h.installs(); len(got) > 0 {
		t.Errorf("installers: %v", got)
	}
	h.MustRun("mv", "/run/systemd/away", "/run/systemd/private")
	h.succeeded(f, id, 2)
}

// In a container whose PID 1 is a program like any other, the agent says what it
// cannot do and does the rest.
func TestContainerInsideAContainerOfTheHost(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, 200*time.Millisecond)
	h.MustRun("systemctl", "stop", agentUnit)
	inside := func(command string) (string, error) {
		return h.Run("unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", "umount -R /run; mount -t tmpfs none /run; "+command)
	}
	if out, err := inside("devserver-agent doctor"); err == nil || !strings.Contains(out, "PID 1 is not systemd") {
		t.Errorf("the doctor ended with %v:\n%s", err, out)
	}
	if out, err := inside("devserver-agent exec HDK_QUERY"); err != nil || !strings.Contains(out, goalA2.from.Driver) {
		t.Errorf("a query ended with %v:\n%s", err, out)
	}
	if out, err := inside("devserver-agent exec HDK_UPGRADE version=" + goalA2.to.Driver); err != nil {
		t.Errorf("an upgrade ended with %v:\n%s", err, out)
	}
}
