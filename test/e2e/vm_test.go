//go:build container

package e2e

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/container"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
	"devserver-agent/test/vm"
)

// driverModule stands in for a driver: it is loaded by a boot that comes after
// the installation, and without it nothing that was installed runs.
const driverModule = "null_blk"

// addVM boots a machine with a fake host, and the agent's package in it.
func (f *fleet) addVM(g goal, pace time.Duration) (*unitHost, *vm.Machine) {
	f.t.Helper()
	m := vm.Start(f.t, f.nats)
	needsDriver := fmt.Sprintf("ExecCondition=grep -q ^%s /proc/modules\n", driverModule)
	h := f.outfit(m, "host-1", g, pace, fmt.Sprintf(wakeUnit, needsDriver), confined)
	h.nats = "nats://" + vm.Outside
	h.put("/etc/modules-load.d/npu.conf", driverModule+"\n")
	h.install()
	h.MustRun("sync") // what was made up is no part of the case
	return h, m
}

// The host really restarts, with a kernel of its own and what it loads.
func TestVMUpgradeWithARealRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h, _ := f.addVM(goalA2, time.Second)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	if out, err := h.Run("grep", "^"+driverModule, "/proc/modules"); err == nil {
		t.Errorf("the module is loaded before the restart: %s", out)
	}
	h.succeeded(f, id, 2)
	h.MustRun("grep", "^"+driverModule, "/proc/modules")
}

// What was not synced is lost at random moments of an upgrade, and of the boots
// that follow.
func TestVMPowerCuts(t *testing.T) {
	const cuts = 2
	first, n := seeds(t, "E2E_CUTS", 15)
	t.Logf("%d upgrades with %d cuts each, E2E_SEED=%d", n, cuts, first)
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("E2E_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, seed))
			f := newFleet(t)
			h, m := f.addVM(goalA2, time.Duration(500+r.IntN(3000))*time.Millisecond)
			id := f.upgrade(goalA2, h.server)
			for range cuts {
				<-time.After(time.Duration(r.IntN(20000)) * time.Millisecond) // the moment is the case
				m.Unplug()
				if r.IntN(2) == 0 {
					m.AwaitBoot(m.Boots() + 1)
				}
			}
			task := f.ended(id).Tasks[0]
			if task.Status != protocol.Success && task.Code != protocol.StepInterrupted {
				t.Errorf("it ended %s %s: %s", task.Status, task.Code, task.Message)
			}
			h.judge(id, cuts)
		})
	}
}

// A kernel that stops in the middle of an installer is a pulled plug.
func TestVMTheKernelRestartsAtOnce(t *testing.T) {
	for _, how := range []string{"b", "c"} { // reboot, crash: Documentation/admin-guide/sysrq.rst of the kernel
		t.Run("sysrq-"+how, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			h, _ := f.addVM(goalA2, 3*time.Second)
			id := f.upgrade(goalA2, h.server)
			h.altering(fakehost.Driver)
			_, _ = h.Run("sh", "-c", "echo "+how+" >/proc/sysrq-trigger") // it cannot answer
			h.AwaitBoot(2)
			task := f.ended(id).Tasks[0]
			if task.Status != protocol.Success || !strings.Contains(task.Message, "install-driver") {
				t.Errorf("it ended %s %s: %s", task.Status, task.Code, task.Message)
			}
			h.judge(id, 1)
		})
	}
}

// A clock that jumps by years, forth and back, changes nothing.
func TestVMTheClockJumps(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h, _ := f.addVM(goalA2, 3*time.Second)
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	h.MustRun("date", "--set=+3 years")
	h.altering(fakehost.Driver)
	h.MustRun("date", "--set=-6 years")
	h.succeeded(f, id, 2)
}

// Limits hold with control groups of version 2 too.
func TestVMLimitsOfSteps(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h, _ := f.addVM(goalA2, time.Second)
	h.gives("steps: {memory_max: 96MiB, tasks_max: 99}\n")
	if out, err := h.try("big:greedy:300000000"); err == nil || !strings.Contains(out, "because its memory ran out") {
		t.Errorf("it ended with %v:\n%s", err, out)
	}
	if out, err := h.try("small:greedy:10000000"); err != nil {
		t.Errorf("it ended with %v:\n%s", err, out)
	}
	h.count(row{})
}

// The package for arm64, emulated.
func TestVMPackageForArm64(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	c := container.Start(t, container.Arm64, nil)
	h := &unitHost{fleet: f, nats: "nats://" + f.nats, npuHost: &npuHost{host: &host{t: t, server: "host-1"}}, computer: c}
	packages := made(t, packaged(firstVersion, "arm64"))
	install(t, h.Path("/srv/agent.deb"), filepath.Join(packages, fmt.Sprintf(deb.name, "devserver-agent", firstVersion, "arm64")))
	h.MustRun("dpkg", "-i", "/srv/agent.deb")
	h.put(fakeConfig, fmt.Sprintf("server_id: host-1\nnats: {servers: [%q]}\ntrust: {keys: [%q]}\n", h.nats, f.key()))
	h.put("/etc/systemd/system/devserver-agent.service.d/container.conf", "[Service]\n"+inContainer)
	h.MustRun("systemctl", "daemon-reload")
	h.MustRun("devserver-agent", "config", "--check")
	h.MustRun("systemctl", "start", agentUnit)
	wait.Until(t, "the agent is connected", func() error {
		status, err := h.Run("devserver-agent", "status", "--json")
		if err == nil && !strings.Contains(status, `"connected": true`) {
			err = fmt.Errorf("it says %s", status)
		}
		return err
	})
	if got := h.MustRun("devserver-agent", "version"); got != firstVersion {
		t.Errorf("its version is %s", got)
	}
	h.MustRun("dpkg", "--purge", "devserver-agent")
	h.count(row{})
}
