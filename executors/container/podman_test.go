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
	"devserver-agent/test/hosttest"
	"devserver-agent/test/support/parallel"
	"devserver-agent/test/support/wait"
)

// TestMain is the test, the program that the executors start, or the keeper of Podman.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "container" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := Main(ctx, os.Args[2], os.Stdin, os.Stdout)
		stop()
		syscall.Exit(code)
	}
	if len(os.Args) == 3 && os.Args[1] == keeper {
		if err := (engineOfTest{dir: os.Args[2]}).keep(os.Stdin); err != nil {
			fmt.Fprintf(os.Stderr, "Podman of the test: %v\n", err)
			syscall.Exit(1)
		}
		syscall.Exit(0)
	}
	parallel.Default("4")
	code := m.Run()
	if err := begun.end(); err != nil && code == 0 {
		code = 1
	}
	os.Exit(code)
}

// engineOfTest is a Podman of the test's own, with the image localhost/tiny:1: a
// busybox made from a tar. A process of its own, the keeper, runs it and removes it when
// the test has ended, were it by a panic.
type engineOfTest struct {
	dir    string
	keeper *exec.Cmd
	hold   io.Closer // the keeper's input
}

const keeper = "keep-podman"

func (p engineOfTest) socket() string { return filepath.Join(p.dir, "podman.sock") }

// configuration keeps limits that a container on this machine may have, which is
// perhaps one itself; and what Podman would share with that of the machine.
const configuration = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "%s/tmp"
`

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
	self, err := os.Executable()
	if err != nil {
		return p, err
	}
	p.keeper = exec.Command(self, keeper, p.dir)
	p.keeper.Stderr = os.Stderr
	p.keeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt ends the test, not the keeper
	if p.hold, err = p.keeper.StdinPipe(); err == nil {
		err = p.keeper.Start()
	}
	if err != nil {
		return p, err
	}
	begun = p
	return p, wait.Within(wait.Patience, func() error {
		e, err := find([]string{p.socket()})
		if err != nil {
			return err
		}
		return e.ask(context.Background(), http.MethodGet, "/version", nil, nil, nil)
	})
})

// end returns when the keeper has removed it all.
func (p engineOfTest) end() error {
	if p.keeper == nil {
		return nil
	}
	return errors.Join(p.hold.Close(), p.keeper.Wait())
}

// keep runs Podman until its input ends.
func (p engineOfTest) keep(until io.Reader) error {
	err := p.prepare()
	service := p.command("system", "service", "--time=0", "unix://"+p.socket())
	if err == nil {
		err = service.Start()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "Podman of the test: %v\n", err)
	}
	_, _ = io.Copy(io.Discard, until)
	if out, failed := p.command("rm", "--all", "--force", "--time", "0").CombinedOutput(); failed != nil {
		err = errors.Join(err, fmt.Errorf("remove the containers: %w: %s", failed, out))
	}
	if service.Process != nil {
		err = errors.Join(err, service.Process.Kill())
		_ = service.Wait() // it was killed
	}
	// Who cleans up after a container recreates the folders.
	waited := wait.Within(wait.Patience, func() error {
		if left := p.processes(); len(left) > 0 {
			return fmt.Errorf("processes are left: %q", left)
		}
		return nil
	})
	return errors.Join(err, waited, os.RemoveAll(p.dir))
}

// prepare makes the image.
func (p engineOfTest) prepare() error {
	if err := os.WriteFile(filepath.Join(p.dir, "containers.conf"), fmt.Appendf(nil, configuration, p.dir), 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("sh", "-c", fmt.Sprintf(`set -e; mkdir -p %[1]s/image/bin; cp "$(command -v busybox)" %[1]s/image/bin/
		for tool in sh echo sleep cat env ls true seq; do ln -s busybox %[1]s/image/bin/$tool; done; tar -C %[1]s/image -cf %[1]s/image.tar .; rm -r %[1]s/image`, p.dir)).CombinedOutput(); err != nil {
		return fmt.Errorf("make an image (scripts/test installs busybox): %w: %s", err, out)
	}
	if out, err := p.command("import", filepath.Join(p.dir, "image.tar"), "localhost/tiny:1").CombinedOutput(); err != nil {
		return fmt.Errorf("import the image (scripts/test installs podman): %w: %s", err, out)
	}
	return os.Remove(filepath.Join(p.dir, "image.tar"))
}

// processes are the command lines that name the engine's folder, but for the own.
func (p engineOfTest) processes() (found []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well-formed
	for _, name := range lines {
		line, err := os.ReadFile(name)
		if err == nil && bytes.Contains(line, []byte(p.dir)) && name != fmt.Sprintf("/proc/%d/cmdline", os.Getpid()) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
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
		err = os.Symlink(self, program)
	}
	if err != nil {
		t.Fatal(err)
	}
	api, err := find([]string{p.socket()})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, host, Engine{Program: []string{program, "container"}, Sockets: []string{p.socket()}, StopTimeout: time.Second}, api, t.TempDir()}
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
