//go:build container

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/container"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/wait"
)

// computer has a real systemd: a container or a virtual machine.
type computer interface {
	Boots() int
	AwaitBoot(n int)
	PowerCut()
	Run(argv ...string) (string, error)
	MustRun(argv ...string) string
	// Path is where this machine sees a file of its /srv; of a container, any file.
	Path(name string) string
}

// unitHost is a fake Ascend host on a computer, whose agent is a service and whose
// steps are units. Its restart is the computer's.
type unitHost struct {
	fleet *fleet
	nats  string // where its agent looks for the broker
	*npuHost
	computer
	counted bool // in the table of what became of the cases
}

// Where things are in the container.
const (
	fakeDir    = "/srv/fake"
	fakeConfig = "/etc/devserver-agent/config.yaml"
	agentUnit  = "devserver-agent.service"
)

// wakeUnit has a fake host notice that its computer was booted. %s is what else it
// takes.
const wakeUnit = `[Unit]
After=srv.mount systemd-modules-load.service
Before=devserver-agent.service
[Service]
Type=oneshot
%sExecStart=/srv/fakehost reboot --dir /srv/fake
[Install]
WantedBy=multi-user.target
`

// confined has the agent's unit let its npu-smi write to the fake host's folder.
const confined = "[Service]\nReadWritePaths=/srv\n"

// inContainer is for what is different there: its boot id is its own, which these
// would hide.
const inContainer = "ProtectKernelTunables=no\nProtectControlGroups=no\n"

// Two versions of the packages.
const (
	firstVersion = "1.0.0"
	nextVersion  = "1.1.0"
)

var packages = map[string]func() (string, error){
	firstVersion: packaged(firstVersion, runtime.GOARCH),
	nextVersion:  packaged(nextVersion, runtime.GOARCH),
}

func packaged(version, arch string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir := filepath.Join(shared, "packages-"+version+"-"+arch)
		cmd := exec.Command("../../scripts/package", arch)
		cmd.Env = append(os.Environ(), "VERSION="+version, "DIST="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("scripts/package: %w\n%s", err, out)
		}
		return dir, nil
	})
}

// packageFormat is how its files are named.
type packageFormat struct{ name, arch string }

var (
	deb = packageFormat{"%s_%s_%s.deb", runtime.GOARCH}
	rpm = packageFormat{"%s-%s-1.%s.rpm", map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]}
)

// fetch is where the container has the file of a package, which it gets now.
func (h *unitHost) fetch(format packageFormat, name, version string) string {
	h.t.Helper()
	file := fmt.Sprintf(format.name, name, version, format.arch)
	install(h.t, h.Path(filepath.Join("/srv", file)), filepath.Join(made(h.t, packages[version]), file))
	return filepath.Join("/srv", file)
}

// addUnit boots a container with a host that a goal is not reached on yet, installs
// the agent's package in it, and starts its agent. Its installers take pace.
func (f *fleet) addUnit(server string, g goal, pace time.Duration) *unitHost {
	f.t.Helper()
	h := f.addHost(server, g, pace, container.Debian)
	h.install()
	return h
}

// install has the package's agent run.
func (h *unitHost) install() {
	h.t.Helper()
	h.MustRun("dpkg", "-i", h.fetch(deb, "devserver-agent", firstVersion))
	h.configure()
	h.MustRun("systemctl", "start", agentUnit)
}

// addHost boots one that has no agent yet; prepare is called with the folder of its
// files before.
func (f *fleet) addHost(server string, g goal, pace time.Duration, image container.Image, prepare ...func(root string)) *unitHost {
	f.t.Helper()
	c := container.Start(f.t, image, func(root string) {
		for _, do := range prepare {
			do(root)
		}
	})
	return f.outfit(c, server, g, pace, fmt.Sprintf(wakeUnit, ""), confined+inContainer)
}

// outfit makes a computer a fake host: with a unit that tells it of boots, and a
// drop-in of the agent's unit.
func (f *fleet) outfit(c computer, server string, g goal, pace time.Duration, wake, dropIn string) *unitHost {
	f.t.Helper()
	install(f.t, c.Path("/srv/fakehost"), fakehost.Binary(f.t))
	f.must(os.CopyFS(c.Path("/srv/hdk"), os.DirFS(made(f.t, hdkRepository))))
	c.MustRun("/srv/fakehost", "create", "--dir", fakeDir, "--model", string(g.model), "--server-id", server,
		"--driver", g.from.Driver, "--firmware", g.from.Firmware, "--pace", pace.String())
	fake, err := fakehost.Open(c.Path(fakeDir))
	f.must(err)
	h := &unitHost{fleet: f, nats: "nats://" + f.nats, npuHost: &npuHost{host: &host{t: f.t, server: server}, fake: fake}, computer: c}
	h.put("/etc/systemd/system/wake.service", wake)
	h.put("/etc/systemd/system/devserver-agent.service.d/fake.conf", dropIn)
	f.t.Cleanup(func() {
		if f.t.Failed() && !h.counted {
			h.count(row{stuck: 1})
		}
	})
	f.hosts[server] = h.npuHost
	c.MustRun("systemctl", "daemon-reload")
	c.MustRun("systemctl", "enable", "wake.service")
	return h
}

// configure is what an operator does to the configuration that was installed.
func (h *unitHost) configure() {
	h.t.Helper()
	f := h.fleet
	h.put(fakeConfig, fmt.Sprintf(`server_id: %s
server_name: name-of-%[1]s
nats: {servers: ["%s"], spread: 200ms}
trust: {keys: ["%s"]}
host: {root: %s/root, boot_id_file: /proc/sys/kernel/random/boot_id, reboot_command: [logind]}
hdk: {repository: /srv/hdk}
`, h.server, h.nats, f.key(), fakeDir))
}

// put writes a file of the computer's.
func (h *unitHost) put(path, text string) {
	h.t.Helper()
	h.must(os.WriteFile(h.Path("/srv/put"), []byte(text), 0o600))
	h.MustRun("install", "-D", "--mode=600", "/srv/put", path)
}

// get reads one.
func (h *unitHost) get(path string) ([]byte, error) {
	if _, err := h.Run("cp", path, "/srv/got"); err != nil {
		return nil, err
	}
	return os.ReadFile(h.Path("/srv/got"))
}

// install copies a file with its mode. Another process does, for what this one has open to
// write, a child that another test forks just then has open too, and nobody can execute it
// (go.dev/issue/22315).
func install(t testing.TB, to, from string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "--preserve=mode", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s to %s: %v\n%s", from, to, err, out)
	}
}

// flashes are the units of installers that run.
func (h *unitHost) flashes() []string {
	out := h.MustRun("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "devserver-flash@*", "devserver-step@*")
	var units []string
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) > 0 {
			units = append(units, words[0])
		}
	}
	return units
}

// hold stops the running installer, so that it cannot end before the test has acted.
func (h *unitHost) hold() (resume func()) {
	h.t.Helper()
	units := h.flashes()
	if len(units) == 0 {
		h.t.Fatal("no installer runs")
	}
	all := func(signal string) {
		h.t.Helper()
		for _, unit := range units {
			h.MustRun("systemctl", "kill", "--signal="+signal, unit)
		}
	}
	all("STOP")
	return func() { h.t.Helper(); all("CONT") }
}

// booted waits for the nth boot and sees that there was no further one.
func (h *unitHost) booted(n int) {
	h.t.Helper()
	h.AwaitBoot(n)
	if h.Boots() != n {
		h.t.Errorf("%s was booted %d times, want %d", h.server, h.Boots(), n)
	}
}

// succeeded checks an upgrade that nothing may have disturbed: each installer was
// started once, and the host restarted by the agent.
func (h *unitHost) succeeded(f *fleet, id string, boots int) {
	h.t.Helper()
	f.finished(id, map[string]string{h.server: goalA2.message()})
	h.booted(boots)
	if got := strings.Join(h.installs(), ", "); got != strings.Join(goalA2.inOrder(), ", ") {
		h.t.Errorf("installers: %s", got)
	}
	h.judge(id, 0)
}

// judge checks the promise for an upgrade that has ended, in whatever way, after
// somebody else than the agent restarted the host so often, and counts it.
func (h *unitHost) judge(id string, byOthers int) {
	h.t.Helper()
	f := h.fleet
	f.said(checkStatuses)
	j, err := f.job(id)
	h.must(err)
	task, toll := j.Tasks[0], row{cuts: byOthers}
	if file, err := h.get(filepath.Join("/var/lib/devserver-agent/tasks", task.ID, "output/0")); err == nil {
		defer func() {
			if h.t.Failed() {
				h.t.Logf("its output:\n%s", file)
			}
		}()
		err := wait.Within(wait.Patience, func() error {
			arrived, err := f.ctl("task", "logs", id, task.ID)
			if err == nil && !bytes.Equal(arrived, file) {
				err = fmt.Errorf("the host has %d bytes of output, of which %d arrived", len(file), len(arrived))
			}
			return err
		})
		if err != nil {
			toll.lost++
			h.t.Error(err)
		}
	}
	for _, part := range []string{"firmware", "driver"} {
		starts := strings.Count(strings.Join(h.installs(), " "), part)
		if allowed := allowedStarts(protocol.Status{Message: task.Message}, "install-"+part); starts > allowed {
			toll.doubled++
			h.t.Errorf("the installer of the %s was started %d times: %s", part, starts, task.Message)
		}
	}
	if restarts := h.Boots() - 1 - byOthers; restarts > 1 || restarts > 0 && task.Status == protocol.Failed {
		toll.doubled++
		h.t.Errorf("the agent restarted the host %d times", restarts)
	}
	if len(task.Late) > 0 {
		toll.doubled++
		h.t.Errorf("there are further verdicts: %v", task.Late)
	}
	for _, chip := range h.state().Visible() {
		if task.Status == protocol.Success && chip.Running != goalA2.to {
			h.t.Errorf("chip %d runs %v", chip.Logic, chip.Running)
		}
	}
	h.count(toll)
}
