//go:build container

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/container"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// cutCount is how many upgrades are cut at random when E2E_CUTS does not say.
const cutCount = 8

// PID 1 is killed, and everything with it, at random moments of an upgrade.
func TestContainerPowerCuts(t *testing.T) {
	t.Parallel()
	first, n := seeds(t, "E2E_CUTS", cutCount)
	t.Logf("%d upgrades, E2E_SEED=%d", n, first)
	for seed := first; seed < first+n; seed++ {
		t.Run(fmt.Sprintf("E2E_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, seed))
			f := newFleet(t)
			h := f.addUnit("host-1", goalA2, time.Duration(200+r.IntN(800))*time.Millisecond)
			id := f.upgrade(goalA2, h.server)
			cuts := 1 + r.IntN(3)
			for range cuts {
				<-time.After(time.Duration(r.IntN(3000)) * time.Millisecond) // the moment is the case
				h.PowerCut()
			}
			task := f.ended(id).Tasks[0]
			if task.Status != protocol.Success && task.Code != protocol.StepInterrupted {
				t.Errorf("it ended %s %s: %s", task.Status, task.Code, task.Message)
			}
			h.judge(id, cuts)
		})
	}
}

// Ten hosts that are upgraded at once do not get into each other's way.
func TestContainerTenHostsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	hosts := map[string]*unitHost{}
	want := map[string]string{}
	var servers []string
	for n := range 10 {
		server := fmt.Sprintf("host-%d", n)
		hosts[server] = f.addUnit(server, goalA2, time.Second)
		want[server] = goalA2.message()
		servers = append(servers, server)
	}
	id := f.upgrade(goalA2, servers...)
	f.finished(id, want)
	f.said(checkStatuses)
	for _, h := range hosts {
		h.booted(2)
		if got := strings.Join(h.installs(), ", "); got != strings.Join(goalA2.inOrder(), ", ") {
			t.Errorf("%s: installers: %s", h.server, got)
		}
		h.count(row{})
	}
}

// A host that cannot reach its broker goes on, and tells what became of it later.
func TestContainerTheLinkIsCutAndRestored(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	net := newProxy(t)
	net.lead(f.nats)
	h := f.addHost("host-1", goalA2, time.Second, container.Debian)
	h.nats = net.url()
	h.install()
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	net.become(down)
	h.AwaitBoot(2)
	net.become(fair)
	h.succeeded(f, id, 2)
}

// A full disk of the state directory holds a task up and loses nothing of it.
func TestContainerTheDiskIsFullForAWhile(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	small := newDisk(t, 400<<20)
	h := f.addHost("host-1", goalA2, 8*time.Second, container.Debian, func(root string) {
		state := filepath.Join(root, "var/lib/devserver-agent")
		f.must(os.MkdirAll(state, 0o700))
		f.must(syscall.Mount(small.path, state, "", syscall.MS_BIND, ""))
	})
	h.install()
	id := f.upgrade(goalA2, h.server)
	h.altering(fakehost.Firmware)
	var relieve func()
	wait.Until(t, "the first installer ends on a full disk", func() error {
		relieve = small.choke() // again and again: the agent has a reserve
		log, err := h.Run("journalctl", "--unit", agentUnit, "--output=cat")
		if err != nil {
			return err
		}
		j, err := f.job(id)
		if err != nil {
			return err
		}
		// It ends on record, its end waits for room, or the next installer does.
		held := strings.Contains(log, "the disk of the state directory is full; trying again")
		ended := strings.Contains(log, "a step ended") && strings.Contains(log, "disk of the state directory is full")
		if next := strings.Contains(j.Tasks[0].Message, "waiting for room"); !held && !ended && !next {
			return fmt.Errorf("the task says %q, the journal %s", j.Tasks[0].Message, log)
		}
		return nil
	})
	relieve()
	h.succeeded(f, id, 2)
}
