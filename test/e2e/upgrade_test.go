package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/agent/failpoint"
	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// goal is what the hosts of a model are upgraded from and to.
type goal struct {
	model    fakehost.Model
	from, to fakehost.Release
}

var (
	goalA2   = goal{fakehost.A2, fakehost.Release{Driver: "24.1.0", Firmware: "7.5.0.2.220"}, fakehost.Release{Driver: "24.1.0.3", Firmware: "7.5.0.5.220"}}
	goalA3   = goal{fakehost.A3, fakehost.Release{Driver: "24.1.rc3.9", Firmware: "7.5.0.108.220"}, fakehost.Release{Driver: "24.1.rc3.10", Firmware: "7.5.0.109.220"}}
	goalP310 = goal{fakehost.P310, fakehost.Release{Driver: "24.1.1.1", Firmware: "7.5.0.5.220"}, fakehost.Release{Driver: "25.3.rc1", Firmware: "7.8.0.2.212"}}
)

// message is the verdict of an upgrade that reached its goal.
func (g goal) message() string { return answer(g.to) }

// answer is what a query says of a host that runs a release.
func answer(r fakehost.Release) string {
	return fmt.Sprintf("Driver: %s | Firmware: %s", r.Driver, r.Firmware)
}

// inOrder are the installers of an upgrade.
func (g goal) inOrder() []string {
	return []string{"firmware " + g.to.Firmware, "driver " + g.to.Driver}
}

// hdkRepository is a folder with the packages of all goals, made once.
var hdkRepository = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(shared, "hdk")
	for _, g := range []goal{goalA2, goalA3, goalP310} {
		packages, err := g.to.Packages(g.model)
		if err == nil {
			_, err = fakehost.BuildPackages(filepath.Join(dir, string(g.model)), packages)
		}
		if err != nil {
			return "", err
		}
	}
	ctl, err := programs.Ctl.Build()
	if err != nil {
		return "", err
	}
	if out, err := exec.Command(ctl, "hdk", "index", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("hdk index: %w\n%s", err, out)
	}
	return dir, nil
})

// addOld adds a host that a goal is not reached on yet. Its installers take pace.
func (f *fleet) addOld(server string, g goal, pace time.Duration) *npuHost {
	f.t.Helper()
	return f.add(server, g.model, fakehost.Options{Release: g.from, Pace: pace}, fmt.Sprintf("hdk: {repository: %s}", made(f.t, hdkRepository)))
}

// upgrade creates a job that upgrades servers to a goal and restarts them, and
// returns its id.
func (f *fleet) upgrade(g goal, servers ...string) string {
	f.t.Helper()
	var j job
	f.must(json.Unmarshal(f.mustCtl("job", "create", "--json", "--name", "e2e-upgrade", "--reboot",
		"--item", "HDK_UPGRADE,version="+g.to.Driver, "--server", strings.Join(servers, ",")), &j))
	return j.ID
}

// reached checks that a host was upgraded: these installers were started, the
// agent restarted it so often, and all of its chips run what they should.
func (h *npuHost) reached(g goal, installs []string, restarts int) {
	h.t.Helper()
	if diff := cmp.Diff(installs, h.installs()); diff != "" {
		h.t.Errorf("%s: installers (-want +got):\n%s", h.server, diff)
	}
	if got := h.restartsByAgent(); got != restarts {
		h.t.Errorf("%s was restarted %d times, want %d", h.server, got, restarts)
	}
	for _, chip := range h.state().Visible() {
		if chip.Running != g.to {
			h.t.Errorf("%s: chip %d runs %v", h.server, chip.Logic, chip.Running)
		}
	}
}

func TestSystemTwoHostsAreUpgraded(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	servers := []string{"host-1", "host-2"}
	for _, server := range servers {
		h := f.addOld(server, goalA2, 300*time.Millisecond)
		if chips := len(h.state().Visible()); chips != 8 {
			t.Fatalf("%s has %d chips", server, chips)
		}
		h.boots()
	}
	id := f.upgrade(goalA2, servers...)
	want := map[string]string{"host-1": goalA2.message(), "host-2": goalA2.message()}
	f.finished(id, want)
	for _, server := range servers {
		f.hosts[server].reached(goalA2, goalA2.inOrder(), 1)
	}
	// Once more there is nothing to do.
	again := f.finished(f.upgrade(goalA2, servers...), want)
	for _, task := range again.Tasks {
		if task.Status != protocol.Success {
			t.Errorf("%s ended %s %s", task.ServerID, task.Status, task.Code)
		}
		f.hosts[task.ServerID].reached(goalA2, goalA2.inOrder(), 1)
	}
	f.said(checkStatuses)
}

// altering waits until an installer alters the host.
func (h *npuHost) altering(kind string) {
	h.t.Helper()
	wait.Until(h.t, "the installer of the "+kind+" alters "+h.server, func() error {
		if len(h.events().Of(fakehost.KindChange, kind+"-installer")) == 0 {
			return errors.New("it does not yet")
		}
		return nil
	})
}

// An installer that asks is ended, also by an agent that was killed meanwhile: the task
// has its verdict long before its time is up, and nothing is left running.
func TestSystemAnInstallerThatAsksIsEnded(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.addOld("host-1", goalA2, 10*time.Millisecond)
	f.must(h.fake.SetFault(fakehost.InstallAsks, "kind=driver"))
	h.start(failpoint.StepStarted)
	id := f.upgrade(goalA2, "host-1")
	h.dies()
	h.start()
	task := f.ended(id).Tasks[0]
	want := `it asks "Do you want to try build driver after input kernel absolute path? [y/n]", which nobody can answer here, and was ended`
	if task.Status != protocol.Failed || task.Code != protocol.HDKInstallFailed || !strings.Contains(task.Message, want) || !strings.Contains(task.Message, "Driver: missing") {
		t.Errorf("it ended %s %s %q", task.Status, task.Code, task.Message)
	}
	if diff := cmp.Diff(goalA2.inOrder(), h.installs()); diff != "" {
		t.Errorf("installers (-want +got):\n%s", diff)
	}
	events, err := h.fake.Events()
	f.must(err)
	if ends := events.Of(fakehost.KindEnd, fakehost.DriverInstaller); len(ends) != 0 {
		t.Errorf("the installer came to its own end: %v", ends)
	}
	h.stop()
}
