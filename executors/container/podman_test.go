package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/hosttest"
)

// TestMain is the test, or the program that the executors start.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "container" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := Main(ctx, os.Args[2], os.Stdin, os.Stdout)
		stop()
		syscall.Exit(code)
	}
	code := m.Run()
	if begun.dir != "" {
		begun.end()
	}
	os.Exit(code)
}

// engineOfTest is a Podman of the test's own, with the image localhost/tiny:1: a
// busybox made from a tar.
type engineOfTest struct {
	dir     string
	service *exec.Cmd
}

func (p engineOfTest) socket() string { return filepath.Join(p.dir, "podman.sock") }

// configuration keeps limits that a container on this machine may have, which is
// perhaps one itself.
const configuration = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"

func (p engineOfTest) command(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", append([]string{
		"--root", filepath.Join(p.dir, "store"), "--runroot", filepath.Join(p.dir, "run"), "--storage-driver", "vfs", "--runtime", "runc",
	}, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+filepath.Join(p.dir, "containers.conf"))
	return cmd
}

// begun is the engine that is to be ended; a run without tests of containers has none.
var begun engineOfTest

var podman = sync.OnceValues(func() (p engineOfTest, err error) {
	if p.dir, err = os.MkdirTemp("", "podman-*"); err != nil {
		return p, err
	}
	defer func() { begun = p }()
	if err := os.WriteFile(filepath.Join(p.dir, "containers.conf"), []byte(configuration), 0o600); err != nil {
		return p, err
	}
	if out, err := exec.Command("sh", "-c", fmt.Sprintf(`set -e; mkdir -p %[1]s/image/bin; cp "$(command -v busybox)" %[1]s/image/bin/
		for tool in sh echo sleep cat env ls true; do ln -s busybox %[1]s/image/bin/$tool; done; tar -C %[1]s/image -cf %[1]s/image.tar .`, p.dir)).CombinedOutput(); err != nil {
		return p, fmt.Errorf("make an image (scripts/test installs busybox): %w: %s", err, out)
	}
	if out, err := p.command("import", filepath.Join(p.dir, "image.tar"), "localhost/tiny:1").CombinedOutput(); err != nil {
		return p, fmt.Errorf("import the image (scripts/test installs podman): %w: %s", err, out)
	}
	p.service = p.command("system", "service", "--time=0", "unix://"+p.socket())
	p.service.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.service.Start(); err != nil {
		return p, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		e, err := find([]string{p.socket()})
		if err == nil {
			err = e.ask(context.Background(), http.MethodGet, "/version", nil, nil, nil)
		}
		if err == nil || time.Now().After(deadline) {
			return p, err
		}
	}
})

func (p engineOfTest) end() {
	out, err := p.command("rm", "--all", "--force", "--time", "0").CombinedOutput()
	if p.service != nil && p.service.Process != nil {
		err = errors.Join(err, syscall.Kill(-p.service.Process.Pid, syscall.SIGKILL))
		_ = p.service.Wait() // it was killed
	}
	if err = errors.Join(err, os.RemoveAll(p.dir)); err != nil {
		fmt.Fprintf(os.Stderr, "end podman: %v: %s\n", err, out)
	}
}

// rig is a host whose engine is the test's Podman.
type rig struct {
	*testing.T
	host   *hosttest.Host
	engine Engine
	api    engine
	dir    string // shared with containers as /shared
}

func newRig(t *testing.T) *rig {
	t.Helper()
	p, err := podman()
	if err != nil {
		t.Fatal(err)
	}
	host := hosttest.New(t, t.TempDir())
	scratch, err := host.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(scratch, "agent")
	self, err := os.Executable()
	if err == nil {
		err = copyFile(program, self)
	}
	if err != nil {
		t.Fatal(err)
	}
	api, err := find([]string{p.socket()})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, host, Engine{Program: []string{program, "container"}, Sockets: []string{p.socket()}}, api, t.TempDir()}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func (r *rig) spec(command string, more ...string) executors.Spec {
	list, err := json.Marshal([]string{"/bin/sh", "-c", command})
	if err != nil {
		r.Fatal(err)
	}
	spec := executors.Spec{"image": "localhost/tiny:1", "command": string(list), "network": "none", "volumes": r.dir + ":/shared"}
	for i := 0; i < len(more); i += 2 {
		spec[more[i]] = more[i+1]
	}
	return spec
}

// left are the containers that are there, by name.
func (r *rig) left(prefix string) map[string]string {
	r.Helper()
	var list []struct {
		Names []string
		State string
	}
	if err := r.api.ask(r.Context(), http.MethodGet, "/containers/json", url.Values{"all": {"true"}}, nil, &list); err != nil {
		r.Fatal(err)
	}
	found := map[string]string{}
	for _, c := range list {
		if name := strings.TrimPrefix(c.Names[0], "/"); strings.HasPrefix(name, prefix) {
			found[name] = c.State
		}
	}
	return found
}

func (r *rig) shared(name string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.Fatal(err)
	}
	return string(text)
}

// until waits for a condition.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			r.Fatalf("waited for: %s", what)
		}
	}
}

func TestAContainerRunsToItsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		more    []string
		cut     bool
		code    protocol.Code
		says    string
		output  string
		starts  string // lines that the container left
	}{
		"well":                                 {command: "echo start >>/shared/starts; echo hello; echo trouble >&2", says: "The container of localhost/tiny:1 ended well", output: "hello\n", starts: "start\n"},
		"badly":                                {command: "echo start >>/shared/starts; exit 3", code: protocol.ContainerFailed, says: "ended with exit code 3", starts: "start\n"},
		"with settings":                        {command: "echo $COLOUR", more: []string{"env", "COLOUR=blue,X=1"}, says: "ended well", output: "blue\n"},
		"cut at its end and not started again": {command: "echo start >>/shared/starts; exit 4", cut: true, code: protocol.ContainerFailed, says: "ended with exit code 4", output: "attached again", starts: "start\n"},
		"without its image":                    {command: "true", more: []string{"image", "localhost:1/none:1"}, code: protocol.ContainerFailed, says: "did not run localhost:1/none:1", output: "fetch localhost:1/none:1"},
		"with a wicked volume":                 {command: "true", more: []string{"volumes", "/etc/devserver-agent:/x"}, code: protocol.SpecInvalid, says: "it would open the host or the agent"},
		"with NPUs that are not there":         {command: "true", more: []string{"npus", "0"}, code: "", says: "list /dev"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if c.cut {
				r.host.Cut("run")
			}
			e := Common{r.engine}
			for range 2 { // the second is a replay
				r.host.Replay()
				result, err := e.Execute(t.Context(), r.host, r.spec(c.command, c.more...))
				message := result.Message
				var failure *executors.Failure
				if errors.As(err, &failure) {
					message = failure.Message
				} else if err != nil {
					message = err.Error()
				}
				if !strings.Contains(message, c.says) || c.code != "" && (failure == nil || failure.Code != c.code) {
					t.Errorf("it ends with %q, %v, want [%s] ...%s...\n%s", message, err, c.code, c.says, r.host.Output())
				}
			}
			if !strings.Contains(r.host.Output(), c.output) || r.shared("starts") != c.starts {
				t.Errorf("it was started %q and printed\n%s", r.shared("starts"), r.host.Output())
			}
			scratch, err := r.host.Scratch()
			if err != nil {
				t.Fatal(err)
			}
			run, err := r.engine.order(t.Context(), r.host, executors.Spec{"image": "x"})
			if err == nil {
				if left := r.left(run.Name); len(left) > 0 {
					t.Errorf("%s is left behind (scratch %s)", left, scratch)
				}
			}
		})
	}
}

// program starts the program as a step would.
func (r *rig) program(verb string, run Run) (*exec.Cmd, *bytes.Buffer) {
	r.Helper()
	input, err := json.Marshal(run)
	if err != nil {
		r.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(r.engine.Program[0], "container", verb)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &out
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	return cmd, &out
}

func (r *rig) order(spec executors.Spec) Run {
	r.Helper()
	run, err := r.engine.order(r.Context(), r.host, spec)
	if err != nil {
		r.Fatal(err)
	}
	return run
}

// Whoever dies, the container goes on, and the next attempt sees its end.
func TestAContainerOutlivesWhoStartedIt(t *testing.T) {
	r := newRig(t)
	run := r.order(r.spec("echo start >>/shared/starts; until [ -e /shared/gate ]; do sleep 0.1; done; echo over; exit 7"))
	first, _ := r.program("run", run)
	r.until("it runs", func() bool { return r.shared("starts") != "" })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	second, out := r.program("run", run)
	if err := os.WriteFile(filepath.Join(r.dir, "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := second.Wait()
	if second.ProcessState.ExitCode() != 7 || !strings.Contains(out.String(), "over\n") || r.shared("starts") != "start\n" {
		t.Errorf("it ended with %v, was started %q and printed %s", err, r.shared("starts"), out)
	}
	if third, out := r.program("remove", run); third.Wait() != nil || len(r.left(run.Name)) > 0 {
		t.Errorf("it is left behind: %s", out)
	}
}

func TestAProgramThatIsToldToStopStopsItsContainer(t *testing.T) {
	r := newRig(t)
	run := r.order(r.spec("trap 'echo asked; exit 9' TERM; echo start >>/shared/starts; while :; do sleep 0.1; done"))
	cmd, out := r.program("run", run)
	r.until("it runs", func() bool { return r.shared("starts") != "" })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 9 || !strings.Contains(out.String(), "asked") {
		t.Errorf("it ended with %v: %s", err, out)
	}
	if removal, out := r.program("remove", run); removal.Wait() != nil {
		t.Errorf("it is left behind: %s", out)
	}
}

func TestAServiceIsDeployedReplacedAndGivenBack(t *testing.T) {
	r := newRig(t)
	service := func(command string) executors.Spec {
		return r.spec(command, "name", "infer", "ready_seconds", "1")
	}
	const stays = "echo %s >>/shared/starts; while :; do sleep 0.1; done"
	for _, c := range []struct{ command, says, starts string }{
		{fmt.Sprintf(stays, "one"), "Service infer runs localhost/tiny:1.", "one\n"},
		{fmt.Sprintf(stays, "one"), "Service infer runs localhost/tiny:1 already.", "one\n"},
		{fmt.Sprintf(stays, "two"), "Service infer runs localhost/tiny:1.", "one\ntwo\n"},
		{"echo bad >>/shared/starts; exit 1", "did not stay up with localhost/tiny:1 and is as it was before", "one\ntwo\nbad\ntwo\n"},
	} {
		next := newRig(t) // another item
		next.dir = r.dir
		result, err := Deploy{next.engine}.Execute(t.Context(), next.host, service(c.command))
		message := result.Message
		if err != nil {
			message = err.Error()
		}
		if !strings.Contains(message, c.says) {
			t.Errorf("%s: it ends with %q, want ...%s...\n%s", c.command, message, c.says, next.host.Output())
		}
		r.until("it was started as it should be", func() bool {
			got := r.shared("starts")
			return got == c.starts || strings.ReplaceAll(got, "bad\n", "") == strings.ReplaceAll(c.starts, "bad\n", "") && strings.Contains(got, "bad")
		})
		if left := r.left("devserver-infer-"); len(left) != 1 {
			t.Errorf("there are %v", left)
		}
	}
	for name := range r.left("devserver-infer-") {
		if err := r.api.remove(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}
