//go:build container

package e2e

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"devserver-agent/test/container"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// property is what systemd says of the agent's unit.
func (h *unitHost) property(name string) string {
	h.t.Helper()
	return h.MustRun("systemctl", "show", "--property="+name, "--value", agentUnit)
}

// enabled is what systemd would do with the unit at a boot.
func (h *unitHost) enabled() string {
	state, _ := h.Run("systemctl", "is-enabled", agentUnit) // it ends with 1 for "disabled"
	return state
}

// runs waits until an agent of a version runs.
func (h *unitHost) runs(version string) {
	h.t.Helper()
	wait.Until(h.t, "version "+version+" runs", func() error {
		out, err := h.Run("devserver-agent", "status", "--json")
		if err == nil && !strings.Contains(out, `"version": "`+version+`"`) {
			err = errors.New(out)
		}
		return err
	})
}

// wants compares states of the unit.
func (h *unitHost) wants(what, got, want string) {
	h.t.Helper()
	if got != want {
		h.t.Errorf("%s: it is %q, want %q", what, got, want)
	}
}

// From an installation to a purge, as an operator goes along.
func TestContainerPackageDebLives(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addHost("host-1", goalA2, time.Second, container.Debian)
	first, next := h.fetch(deb, "devserver-agent", firstVersion), h.fetch(deb, "devserver-agent", nextVersion)

	said := h.MustRun("dpkg", "-i", first)
	if !strings.Contains(said, "server_id is missing") || !strings.Contains(said, "systemctl start "+agentUnit) {
		t.Errorf("it does not say what to do: %s", said)
	}
	h.wants("after the installation", h.property("ActiveState"), "inactive")
	h.wants("after the installation", h.enabled(), "enabled")
	h.configure()
	h.MustRun("systemctl", "start", agentUnit)
	h.runs(firstVersion)
	f.finished(f.query(h.server), map[string]string{h.server: answer(goalA2.from)})

	h.MustRun("dpkg", "-i", next)
	h.runs(nextVersion)
	if kept, err := os.ReadFile(h.Path(fakeConfig)); err != nil || !strings.Contains(string(kept), h.server) {
		t.Errorf("the configuration is now %s (%v)", kept, err)
	}

	h.MustRun("systemctl", "stop", agentUnit)
	h.MustRun("dpkg", "-i", first)
	h.wants("stopped before it was replaced", h.property("ActiveState"), "inactive")
	h.MustRun("systemctl", "disable", agentUnit)
	h.MustRun("dpkg", "-i", next)
	h.wants("disabled before it was replaced", h.enabled(), "disabled")
	h.MustRun("systemctl", "enable", "--now", agentUnit)
	h.runs(nextVersion)

	h.MustRun("dpkg", "--remove", "devserver-agent")
	h.MustRun("test", "-s", "/var/lib/devserver-agent/installation.json")
	h.MustRun("test", "-s", fakeConfig)
	h.MustRun("dpkg", "-i", next)
	h.runs(nextVersion)

	h.MustRun("dpkg", "--purge", "devserver-agent")
	left := h.MustRun("find", "/etc", "/run", "/var/lib", "/lib/systemd", "/usr/bin", "-name", "*devserver*",
		"-not", "-path", "*.service.d*", "-not", "-path", "/var/lib/dpkg/*")
	if left != "" {
		t.Errorf("left after the purge:\n%s", left)
	}
}

// What a package manager does while an installer writes flash does not touch it,
// nor the agent that waits for it.
func TestContainerPackageWhileAnInstallerRuns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(h *unitHost)
		after string // the version that gives the verdict
	}{
		"it is upgraded": {func(h *unitHost) {
			pid := h.property("MainPID")
			h.MustRun("dpkg", "-i", h.fetch(deb, "devserver-agent", nextVersion))
			h.wants("the agent that is busy", h.property("MainPID"), pid)
		}, nextVersion},
		"it is removed and comes back": {func(h *unitHost) {
			h.MustRun("dpkg", "--remove", "devserver-agent")
			if len(h.flashes()) == 0 {
				h.t.Error("the installer is gone with the package")
			}
			h.MustRun("dpkg", "-i", h.fetch(deb, "devserver-agent", nextVersion))
		}, nextVersion},
		"a purge is refused": {func(h *unitHost) {
			out, err := h.Run("dpkg", "--purge", "devserver-agent")
			if err == nil || !strings.Contains(out, "devserver-flash@") {
				h.t.Errorf("it was purged: %s", out)
			}
			h.MustRun("dpkg", "-i", h.fetch(deb, "devserver-agent", nextVersion))
			h.configure() // dpkg forgets the configuration before it asks
			h.MustRun("systemctl", "start", agentUnit)
		}, nextVersion},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			h := f.addUnit("host-1", goalA2, 3*time.Second)
			h.fetch(deb, "devserver-agent", nextVersion) // which may take longer than the installer
			id := f.upgrade(goalA2, h.server)
			h.altering(fakehost.Firmware)
			resume := h.hold()
			c.do(h)
			resume()
			h.succeeded(f, id, 2)
			h.runs(c.after)
		})
	}
}

// The same with dnf, under the preset of distributions that enable nothing.
func TestContainerPackageRPMLives(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addHost("host-1", goalA2, 3*time.Second, container.WithDNF)
	h.MustRun("sh", "-c", `mkdir -p /etc/systemd/system-preset /etc/yum.repos.d /srv/repo
echo 'disable *' >/etc/systemd/system-preset/99-default-disable.preset
printf '[local]\nname=local\nbaseurl=file:///srv/repo\ngpgcheck=0\n' >/etc/yum.repos.d/local.repo`)
	publish := func(version string) {
		h.MustRun("cp", h.fetch(rpm, "devserver-agent", version), "/srv/repo/")
		h.MustRun("createrepo_c", "--quiet", "/srv/repo")
		h.MustRun("dnf", "--quiet", "clean", "all")
	}
	publish(firstVersion)
	said := h.MustRun("dnf", "--assumeyes", "--setopt=install_weak_deps=0", "install", "devserver-agent")
	if !strings.Contains(said, "server_id is missing") {
		t.Errorf("it does not say what to do: %s", said)
	}
	h.wants("after the installation", h.enabled(), "disabled")
	h.configure()
	h.MustRun("systemctl", "enable", "--now", agentUnit)
	h.runs(firstVersion)
	f.finished(f.query(h.server), map[string]string{h.server: answer(goalA2.from)})

	publish(nextVersion)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	resume := h.hold()
	pid := h.property("MainPID")
	h.MustRun("dnf", "--assumeyes", "upgrade", "devserver-agent")
	h.wants("the agent that is busy", h.property("MainPID"), pid)
	resume()
	h.succeeded(f, id, 2)
	h.runs(nextVersion)

	h.MustRun("systemctl", "stop", agentUnit)
	h.MustRun("dnf", "--assumeyes", "downgrade", "devserver-agent")
	h.wants("stopped before it was replaced", h.property("ActiveState"), "inactive")
	h.MustRun("dnf", "--assumeyes", "remove", "devserver-agent")
	h.MustRun("test", "-s", "/var/lib/devserver-agent/installation.json")
	if kept, err := os.ReadFile(h.Path(fakeConfig + ".rpmsave")); err != nil || !strings.Contains(string(kept), h.server) {
		t.Errorf("the configuration is now %s (%v)", kept, err)
	}
}

// A control plane as it is installed gives a job to an agent as it is installed, and
// its upgrade loses neither the job nor the key.
func TestContainerPackageControlPlaneLives(t *testing.T) {
	t.Parallel()
	const unit, options = "devserver-controlplane.service", "/etc/default/devserver-controlplane"
	f := fleetOf(t)
	plane := &unitHost{fleet: f, npuHost: &npuHost{host: &host{t: t}}, computer: container.Start(t, container.Debian, nil)}
	// Its addresses are others' on a machine that runs more than one test.
	plane.MustRun("sh", "-c", "printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
	plane.MustRun("dpkg", "-i", plane.fetch(deb, "devserver-controlplane", firstVersion), plane.fetch(deb, "devserverctl", firstVersion))
	if state, _ := plane.Run("systemctl", "is-active", unit); state != "inactive" {
		t.Errorf("it is %s whatever policy-rc.d says", state)
	}
	f.must(os.WriteFile(plane.Path(options), []byte("OPTIONS=--listen "+f.api+" --nats-listen "+f.nats+"\n"), 0o644))
	plane.MustRun("systemctl", "start", unit)
	f.must(os.Symlink(plane.Path("/var/lib/devserver-controlplane"), f.data()))
	f.awaitBroker()
	answers := func() {
		t.Helper()
		wait.Until(t, "the control plane answers", func() error {
			_, err := plane.Run("devserverctl", "--api", "http://"+f.api, "server", "list")
			return err
		})
	}
	answers()
	owner := plane.MustRun("stat", "--format=%U %a", "/var/lib/devserver-controlplane/signing.key")
	plane.wants("the key", owner, "devserver-controlplane 600")

	h := f.addUnit("host-1", goalA2, time.Second)
	id := f.query(h.server)
	f.finished(id, map[string]string{h.server: answer(goalA2.from)})
	key := f.key().String()

	plane.MustRun("rm", "/usr/sbin/policy-rc.d")
	pid := plane.MustRun("systemctl", "show", "--property=MainPID", "--value", unit)
	plane.MustRun("dpkg", "-i", plane.fetch(deb, "devserver-controlplane", nextVersion))
	answers()
	if now := plane.MustRun("systemctl", "show", "--property=MainPID", "--value", unit); now == pid || now == "0" {
		t.Errorf("it is still process %s", now)
	}
	f.finished(id, map[string]string{h.server: answer(goalA2.from)})
	if f.key().String() != key {
		t.Error("it has another key")
	}
	f.finished(f.query(h.server), map[string]string{h.server: answer(goalA2.from)})

	plane.MustRun("dpkg", "--purge", "devserver-controlplane")
	left := plane.MustRun("find", "/etc", "/var/lib", "/lib/systemd", "/usr/bin", "-name", "devserver-controlplane*", "-not", "-path", "/var/lib/dpkg/*")
	if left != "" {
		t.Errorf("left after the purge:\n%s", left)
	}
}

// systemd understands the units as they are installed, but for what newer ones know.
func TestContainerPackageUnits(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addUnit("host-1", goalA2, time.Second)
	h.MustRun("dpkg", "-i", h.fetch(deb, "devserver-controlplane", firstVersion))
	out, _ := h.Run("sh", "-c", "systemd-analyze verify --man=no /lib/systemd/system/devserver*.service") // it says what it means
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "'RestartSteps'") && !strings.Contains(line, "'RestartMaxDelaySec'") {
			t.Errorf("systemd says %s", line)
		}
	}
}
