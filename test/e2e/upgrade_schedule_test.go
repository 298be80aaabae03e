package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

const upgradeCount = 24

func TestUpgradeSchedules(t *testing.T) {
	t.Parallel()
	first, count := seeds(t, "E2E_UPGRADES", upgradeCount)
	t.Logf("%d upgrades, E2E_SEED=%d", count, first)
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprintf("E2E_SEED=%d", seed), func(t *testing.T) {
			t.Parallel()
			newUpgrade(t, newUpgradePlan(seed)).run()
		})
	}
}

// upgrade is a plan that is carried out.
type upgrade struct {
	*fleet
	plan   upgradePlan
	job    string
	hosts  []*upgraded
	since  time.Time
	done   []string // what happened, when
	repair []repair
}

// upgraded is one of the hosts and what was done to it.
type upgraded struct {
	*npuHost
	disk   *disk // nil: it is never full
	former [][]byte
	off    bool
	cut    bool // an installer may have lost its shim or its host
	killed bool // an installer was killed
	full   bool // the disk was
}

// repair is what ends something that was broken for a while.
type repair struct {
	at   time.Time
	what string
	do   func()
}

func newUpgrade(t *testing.T, p upgradePlan) *upgrade {
	u := &upgrade{plan: p, since: time.Now()}
	if p.apart {
		u.fleet = newApartFleet(t)
	} else {
		u.fleet = newFleet(t)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%v%s", p, strings.Join(u.done, "\n"))
		}
	})
	for n := range p.hosts {
		h := &upgraded{npuHost: u.addOld(fmt.Sprintf("host-%d", n), p.goal, p.pace)}
		if p.has(fillDisk) {
			h.disk = newDisk(t, 400<<20)
			state := filepath.Join(h.disk.path, "state")
			h.must(errors.Join(os.Mkdir(state, 0o700), os.Symlink(state, h.stateDir())))
		}
		h.bootsAndFalls(p.falls)
		u.hosts = append(u.hosts, h)
	}
	return u
}

func (u *upgrade) note(format string, args ...any) {
	u.done = append(u.done, fmt.Sprintf("%8v ", time.Since(u.since).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (u *upgrade) run() {
	var servers []string
	for _, h := range u.hosts {
		servers = append(servers, h.server)
	}
	u.job = u.fleet.upgrade(u.plan.goal, servers...)
	u.note("job %s", u.job)
	if !u.plan.early {
		u.fleet.begun(u.job)
	}
	for _, e := range u.plan.events {
		u.pass(e.after)
		u.note("%s of host %d, for %v, armed with %q", e.what, e.on, e.lasts, e.point)
		u.happen(e, u.hosts[e.on])
	}
	u.settle()
	u.verify()
}

// pass lets time go by, in which what was broken is repaired when its time comes.
func (u *upgrade) pass(d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		u.mend(time.Now())
		select {
		case <-end.C:
			return
		case <-tick.C:
		}
	}
}

func (u *upgrade) mend(now time.Time) {
	var left []repair
	for _, r := range u.repair {
		if now.Before(r.at) {
			left = append(left, r)
			continue
		}
		u.note("%s", r.what)
		r.do()
	}
	u.repair = left
}

func (u *upgrade) later(e event, what string, do func()) {
	u.repair = append(u.repair, repair{time.Now().Add(e.lasts), what, do})
}

// settle repairs everything and waits until all has ended and been said.
func (u *upgrade) settle() {
	u.mend(time.Now().Add(time.Hour))
	u.note("all is repaired")
	u.awaitBroker()
	u.ended(u.job)
	for _, h := range u.hosts {
		wait.Until(u.t, h.server+" has nothing open", func() error {
			open, err := os.ReadDir(filepath.Join(h.stateDir(), "open"))
			if len(open) > 0 {
				return fmt.Errorf("these are open: %v", open)
			}
			return err
		})
	}
	u.note("settled")
}

// happen makes one event come about, unless what it takes is away.
func (u *upgrade) happen(e event, h *upgraded) {
	switch e.what {
	case killPlane:
		u.breakDown(e, u.plane)
		return
	case killBroker:
		d := u.broker
		if d == nil {
			d = u.plane
		}
		u.breakDown(e, d)
		return
	case cancel:
		u.cancel()
		return
	case repeat, older, restore:
		u.bringBack(e.what, h)
		return
	}
	if !h.off {
		u.strike(e, h)
	}
}

// breakDown kills a daemon for a while.
func (u *upgrade) breakDown(e event, d *daemon) {
	if d.runs() {
		d.kill()
		u.later(e, "up again: "+filepath.Base(d.argv[0]), d.start)
	}
}

// strike does something to a host that is on.
func (u *upgrade) strike(e event, h *upgraded) {
	if verb := "run"; e.point != "" {
		point, forShim := strings.CutPrefix(e.point, shimPrefix)
		if forShim {
			verb, h.cut = "step", true
		}
		h.arm(verb, point)
	}
	switch e.what {
	case killAgent:
		h.killAgent()
	case killShim:
		h.cut = h.killShims() > 0 || h.cut
	case killInstaller:
		h.killed = h.killInstallers() > 0 || h.killed
	case restartHost:
		h.cut = true
		h.restarts()
	case powerCycle:
		h.cut, h.off = true, true
		h.must(h.fake.PowerCut())
		u.later(e, h.server+" is on", func() {
			h.off = false
			h.must(h.fake.PowerOn())
		})
	case badNetwork:
		h.net.become(e.sky)
		u.later(e, "network is fair", func() { h.net.become(fair) })
	case fillDisk:
		h.full = true
		u.later(e, "disk has room", h.disk.choke())
	}
}

// cancel asks for the job's end, which may come too late.
func (u *upgrade) cancel() {
	client := http.Client{Timeout: time.Second}
	reply, err := client.Post("http://"+u.api+"/v1/default/dev-servers/jobs/"+u.job+"/cancel", "application/json", strings.NewReader("{}"))
	if err != nil {
		u.note("not cancelled: %v", err)
		return
	}
	u.note("cancelled: %s", reply.Status)
	u.must(reply.Body.Close())
}

// bringBack tells the host its mailbox again, as it is or as it once was.
func (u *upgrade) bringBack(how happening, h *upgraded) {
	box, err := u.mailbox(h.server)
	if err != nil {
		u.note("no mailbox: %v", err)
		return
	}
	h.former = append(h.former, box)
	subject, what := protocol.PushSubject(h.server), h.former[0]
	switch how {
	case repeat:
		what = box
	case restore:
		subject = protocol.MailboxSubject(h.server)
	}
	u.must(u.publish(subject, what))
}

// verify checks the promise for every host of an upgrade that has settled.
func (u *upgrade) verify() {
	u.said(checkStatuses)
	var j job
	u.must(json.Unmarshal(u.mustCtl("job", "get", "--json", u.job), &j))
	if len(j.Tasks) != len(u.hosts) {
		u.t.Fatalf("the job has %d tasks", len(j.Tasks))
	}
	for _, task := range j.Tasks {
		h := u.hosts[0]
		if task.ServerID == u.hosts[len(u.hosts)-1].server {
			h = u.hosts[len(u.hosts)-1]
		}
		for _, err := range append(h.unjust(u.plan, task), u.output(h, task)...) {
			u.t.Errorf("%s ended %s %s (%s): %v", h.server, task.Status, task.Code, task.Message, err)
		}
	}
	for _, h := range u.hosts {
		h.must(h.machine.Stop())
		for _, err := range h.checkState() {
			u.t.Errorf("%s: %v", h.server, err)
		}
	}
}

// unjust says what cannot be right of a host and its verdict, given all that was
// done to it.
func (h *upgraded) unjust(plan upgradePlan, task task) (wrong []error) {
	blame := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	installs, restarts := h.installs(), h.restartsByAgent()
	allowed := map[protocol.Code]bool{
		"":                        true,
		protocol.HDKInstallFailed: h.killed || h.full,
		protocol.HDKHostNotReady:  h.killed || h.full, // a check that was killed twice, or found no room
		protocol.StepInterrupted:  h.cut,
		protocol.TaskCancelled:    plan.has(cancel),
		protocol.HDKDiskSpace:     h.full, protocol.HDKRepository: h.full, protocol.ExecutorFailed: h.full, protocol.HDKPackageDamaged: h.full,
	}
	switch {
	case !allowed[task.Code]:
		blame("nothing was done that would explain it")
	case (task.Code == "") != (task.Status == protocol.Success):
		blame("status and code do not suit each other")
	case len(task.Late) > 0:
		blame("there are further verdicts: %v", task.Late)
	}
	for _, part := range []string{"firmware", "driver"} {
		starts := 0
		for _, i := range installs {
			if strings.HasPrefix(i, part) {
				starts++
			}
		}
		if starts > allowedStarts(protocol.Status{Message: task.Message}, "install-"+part) {
			blame("the installer of the %s was started %d times", part, starts)
		}
	}
	if len(installs) > 0 && !strings.HasPrefix(installs[0], "firmware") {
		blame("the order was %v", installs)
	}
	if most := map[bool]int{true: 1}[task.Status != protocol.Failed]; restarts > most {
		blame("the host was restarted %d times for it", restarts)
	}
	for _, chip := range h.state().Visible() {
		if task.Status == protocol.Success && chip.Running != plan.goal.to {
			blame("chip %d runs %v", chip.Logic, chip.Running)
		}
	}
	return wrong
}

// output compares what the control plane has of a task's output with the host's.
func (u *upgrade) output(h *upgraded, task task) (wrong []error) {
	file, err := os.ReadFile(filepath.Join(h.stateDir(), "tasks", task.ID, "output", "0"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return []error{err}
	}
	// What a broker forgot that was killed is asked for 30 s after the verdict.
	err = wait.Within(wait.Patience, func() error {
		arrived, err := u.ctl("task", "logs", u.job, task.ID)
		if err == nil && !bytes.Equal(file, arrived) {
			err = fmt.Errorf("the host has %d bytes of output, of which %d arrived:\n%s\n---\n%s", len(file), len(arrived), file, arrived)
		}
		return err
	})
	if err != nil {
		return []error{err}
	}
	return nil
}
