package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// manager is the socket of a service manager and what was said on it (sd_notify(3)).
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	said []string
}

// newManager has the host's agents that are started from now on told of it.
func newManager(t *testing.T, h *host, watchdog time.Duration) *manager {
	t.Helper()
	path := h.path("notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h.extra = append(h.extra, "NOTIFY_SOCKET="+path)
	if watchdog > 0 {
		h.extra = append(h.extra, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	}
	return &manager{t: t, conn: conn}
}

// next is what is said within some time, "" if nothing is.
func (m *manager) next(within time.Duration) string {
	m.t.Helper()
	buffer := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	n, err := m.conn.Read(buffer)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ""
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.said = append(m.said, string(buffer[:n]))
	return m.said[len(m.said)-1]
}

func TestServiceIsReadyWhenTheMailboxWasAskedForAndFeedsItsWatchdog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := newManager(t, r.host, time.Second)
	r.start()
	if got := m.next(wait.Patience); got != "READY=1" {
		t.Fatalf("it said %q first", got)
	}
	if r.broker.NumClients() == 0 {
		t.Error("it is ready and has not asked the broker")
	}
	for range 3 {
		if got := m.next(wait.Patience); got != "WATCHDOG=1" {
			t.Fatalf("it said %q", got)
		}
	}
	if err := r.agent.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-r.agent.done
	for got := m.next(time.Second); got != "STOPPING=1"; got = m.next(time.Second) {
		if got != "WATCHDOG=1" {
			t.Fatalf("it said %q", strings.Join(m.said, ", "))
		}
	}
}

// A host does not wait for a broker: what runs on it goes on.
func TestServiceIsReadyWithoutABroker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := newManager(t, r.host, 0)
	r.waitsForBroker(time.Second)
	r.away()
	r.start()
	if got := m.next(wait.Patience); got != "READY=1" {
		t.Errorf("it said %q", got)
	}
}

func TestServiceThatHangsDoesNotFeedItsWatchdog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := newManager(t, r.host, 300*time.Millisecond)
	r.start()
	m.next(wait.Patience)
	if err := r.agent.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for got := m.next(time.Second); got != ""; got = m.next(time.Second) {
		if len(m.said) > 50 {
			t.Fatal("it is still fed")
		}
	}
	if err := r.agent.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := m.next(wait.Patience); got != "WATCHDOG=1" {
		t.Errorf("it said %q when it went on", got)
	}
}

// A new program or configuration is taken when nothing runs, and not at all if it
// makes no sense.
func TestServiceHandsOverWhenNothingRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.give("task-1", "first:gate")
	r.start()
	r.awaitProgram("first")
	hangUp := func(says string) {
		r.must(r.agent.cmd.Process.Signal(syscall.SIGHUP))
		wait.Until(t, "the agent says "+says, func() error {
			log, err := os.ReadFile(r.logFile())
			if err == nil && !strings.Contains(string(log), says) {
				err = errors.New("it does not")
			}
			return err
		})
	}
	for file, bad := range map[string]string{
		"config.yaml":             "server_id: [\n",
		"state/installation.json": `{"schema":99,"installation_id":"of-tomorrow"}`, // an older agent is to follow
	} {
		good, err := os.ReadFile(r.path(file))
		r.must(err)
		r.must(os.WriteFile(r.path(file), []byte(bad), 0o600))
		hangUp("the agent goes on as it is")
		r.must(os.WriteFile(r.path(file), good, 0o600))
		r.must(os.Truncate(r.logFile(), 0))
	}
	hangUp("as soon as nothing runs")
	r.give("task-2", "second:ok")
	r.accepted("task-2")
	if !r.alive() {
		t.Fatal("it ended while a task runs")
	}
	r.open("first")
	<-r.agent.done
	if code := r.agent.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with exit code %d", code)
	}
	r.wantStarts(map[string]int{"first": 1})
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.ends("task-2", protocol.Success, "")
	r.wantStarts(map[string]int{"first": 1, "second": 1})
}
