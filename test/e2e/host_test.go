package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// host is a host on which one agent runs and is killed and runs again. Its
// methods are for one goroutine.
type host struct {
	t      testing.TB
	dir    string
	server string
	binary string
	extra  []string // environment of its agents
	boots  int
	starts int
	agent  *process // the newest
}

// process is one life of an agent.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// newHost makes a host in a short-named folder: sockets have short names.
func newHost(t testing.TB, server string) *host {
	t.Helper()
	binary := programs.FaultyAgent.Path(t)
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, dir: dir, server: server, binary: binary}
	t.Cleanup(h.close)
	for _, sub := range []string{"root", "run", "fuses"} {
		h.must(os.Mkdir(h.path(sub), 0o700))
	}
	h.newBoot()
	return h
}

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }
func (h *host) stateDir() string        { return h.path("state") }
func (h *host) startsFile() string      { return h.path("starts") }
func (h *host) logFile() string         { return h.path("agent.log") }
func (h *host) fuse(verb string) string { return filepath.Join(h.path("fuses"), verb) }

// configure writes the agent's configuration.
func (h *host) configure(url string, key protocol.Key, more ...string) {
	h.t.Helper()
	h.configureIn(h.stateDir(), url, key, more...)
}

// configureIn is configure with another state directory.
func (h *host) configureIn(state, url string, key protocol.Key, more ...string) {
	h.t.Helper()
	h.writeConfig(state, fmt.Sprintf("{root: %s, boot_id_file: %s}", h.path("root"), h.path("boot_id")), url, key, more...)
}

// writeConfig writes the agent's configuration; machine is its section "host".
func (h *host) writeConfig(state, machine, url string, key protocol.Key, more ...string) {
	h.t.Helper()
	text := fmt.Sprintf(`server_id: %s
state_dir: %s
run_dir: %s
nats: {servers: ["%s"], spread: 200ms}
trust: {keys: ["%s"]}
host: %s
log: {level: debug}
`, h.server, state, h.path("run"), url, key, machine)
	h.must(os.WriteFile(h.path("config.yaml"), []byte(text+strings.Join(more, "\n")), 0o600))
}

// command is a call of the agent's program.
func (h *host) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.binary, append(args, "--config", h.path("config.yaml"))...)
	cmd.Env = append(os.Environ(), h.env()...)
	return cmd
}

// env is what an agent of this host has in its environment besides.
func (h *host) env() []string {
	return append([]string{"GORACE=atexit_sleep_ms=0", "E2E_FUSES=" + h.path("fuses")}, h.extra...)
}

// waitsForTools has agents that are started from now on wait no longer than this for a
// tool that only reads.
func (h *host) waitsForTools(timeout time.Duration) {
	h.extra = append(h.extra, "E2E_TOOL_TIMEOUT="+timeout.String())
}

// waitsForBroker is the same for the broker and for its answers.
func (h *host) waitsForBroker(timeout time.Duration) {
	h.extra = append(h.extra, "E2E_BROKER_TIMEOUT="+timeout.String())
}

// arm has the next process of a verb of the agent's program (run, step) kill
// itself at a fail point.
func (h *host) arm(verb, point string) {
	h.t.Helper()
	h.must(os.WriteFile(h.fuse(verb), []byte(point), 0o600))
}

// start starts the agent, armed with a fail point if one is given.
func (h *host) start(point ...string) {
	h.t.Helper()
	if h.alive() {
		h.t.Fatal("the agent is started while it runs")
	}
	log, err := os.OpenFile(h.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	h.must(err)
	defer log.Close()
	h.starts++
	for _, p := range point {
		h.arm("run", p)
	}
	fmt.Fprintf(log, "=== start %d %v\n", h.starts, point)
	cmd := h.command("run")
	cmd.Stdout, cmd.Stderr = log, log
	h.must(cmd.Start())
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // ProcessState has it
		close(p.done)
	}()
	h.agent = p
}

func (h *host) alive() bool {
	if h.agent == nil {
		return false
	}
	select {
	case <-h.agent.done:
		return false
	default:
		return true
	}
}

// dies waits until the agent has killed itself at its fail point.
func (h *host) dies() {
	h.t.Helper()
	wait.Until(h.t, "the agent dies at its fail point", func() error {
		if h.alive() {
			return errors.New("it lives")
		}
		return nil
	})
	if err := h.agent.unexpected(); err != nil {
		h.t.Fatal(err)
	}
}

// exits waits until the agent has ended by itself and returns its exit code.
func (h *host) exits() int {
	h.t.Helper()
	wait.Until(h.t, "the agent exits", func() error {
		if h.alive() {
			return errors.New("it lives")
		}
		return nil
	})
	return h.agent.cmd.ProcessState.ExitCode()
}

// unexpected says why an ended agent should not have ended so: by itself.
func (p *process) unexpected() error {
	if p.signalled(syscall.SIGKILL) {
		return nil
	}
	return fmt.Errorf("the agent ended by itself: %v", p.cmd.ProcessState)
}

// signalled reports whether a signal ended the agent.
func (p *process) signalled(by syscall.Signal) bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == by
}

// kill is kill -9.
func (h *host) kill() {
	if !h.alive() {
		return
	}
	_ = h.agent.cmd.Process.Kill() // it may have ended
	<-h.agent.done
}

// stop is what a service manager does: SIGTERM, and the agent ends well. One that
// has only just been started does not catch it yet.
func (h *host) stop() {
	h.t.Helper()
	if !h.alive() {
		return
	}
	_ = h.agent.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	if code := h.exits(); code != 0 && h.agent.unexpected() != nil && !h.agent.signalled(syscall.SIGTERM) {
		h.t.Errorf("the agent ended with exit code %d after SIGTERM", code)
	}
}

// newBoot gives the host another boot id.
func (h *host) newBoot() {
	h.t.Helper()
	h.boots++
	h.must(os.WriteFile(h.path("boot_id"), fmt.Appendf(nil, "boot-%d-of-%s\n", h.boots, h.server), 0o600))
}

// powerCycle kills all that the host runs and boots it again, without starting
// the agent.
func (h *host) powerCycle() {
	h.t.Helper()
	h.kill()
	h.sweep()
	h.newBoot()
}

// sweep kills shims first: none may write down how its program was killed.
func (h *host) sweep() {
	h.t.Helper()
	wait.Until(h.t, "nothing of the host runs", func() error {
		running := h.running()
		for _, shims := range []bool{true, false} {
			for _, p := range running {
				if p.shim == shims {
					p.kill()
				}
			}
		}
		if len(running) > 0 {
			return fmt.Errorf("%d processes run", len(running))
		}
		return nil
	})
}

// close ends everything and looks for what no agent may ever say.
func (h *host) close() {
	h.kill()
	h.sweep()
	raw, _ := os.ReadFile(h.logFile()) // a test may not have started one
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if at := bytes.Index(raw, []byte(bad)); at >= 0 {
			h.t.Errorf("the agent's log has a %s:\n%s", bad, raw[max(0, at-200):min(len(raw), at+4000)])
		}
	}
	if h.t.Failed() {
		h.t.Logf("agent's log (the end of %d bytes):\n%s", len(raw), raw[max(0, len(raw)-12000):])
	}
	if os.Getenv("E2E_KEEP") != "" {
		h.t.Logf("folder: %s", h.dir)
		return
	}
	// A shim that was just starting when its kind was swept may write for a moment.
	wait.Until(h.t, "its folder is gone", func() error { return os.RemoveAll(h.dir) })
}
