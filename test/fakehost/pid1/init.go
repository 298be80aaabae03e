// Package pid1 is the init of a fake host: it keeps the host's command running, adopts
// and reaps what the host's processes leave behind, and is the power switch.
//
// Everything that was started on the host descends from it, because it is a child
// subreaper (prctl(2)); so a reboot can kill all of it, also what went into sessions
// of its own, and nothing else. Init itself stands for the hardware and lives through
// reboots. It does everything in one goroutine.
package pid1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"devserver-agent/test/fakehost"
)

// Options say what init runs and how.
type Options struct {
	// Argv is the command; its program is looked up in PATH.
	Argv []string
	// NoRestart leaves the command down when it ended by itself, until the next boot.
	// Exit status 78 (bad configuration) is never restarted.
	NoRestart bool
	// Grace is how long a reboot or poweroff waits after SIGTERM before it kills; if
	// zero there is no SIGTERM.
	Grace time.Duration
	// Delay is how long a reboot takes to begin after it was asked for and answered; if
	// zero it begins at once and is answered at its end.
	Delay time.Duration
	// Until ends init when it is at its end; nil is no such end.
	Until io.Reader
}

// exitConfig is the status with which a command says that a restart is of no use.
const exitConfig = 78

const (
	shortBackoff = 100 * time.Millisecond
	longBackoff  = 2 * time.Second
)

type machine struct {
	host    *fakehost.Host
	options Options
	program string
	ended   chan os.Signal // SIGCHLD

	pid     int // of the command, 0 while it is down
	since   time.Time
	backoff time.Duration
	again   *time.Timer   // fires when the command is to be started again
	boot    *atomic.Int64 // counts what init has booted
	falling *time.Timer   // fires when a reboot that was asked for is to begin; nil: none was
}

type request struct {
	verb string
	boot int64 // when it was made
	conn net.Conn
}

// Run is init. It ends when Until ends or on SIGTERM or SIGINT, and kills every process
// of the host first. A host that had an init before is booted: that is a power cycle.
func Run(h *fakehost.Host, o Options) error {
	if len(o.Argv) == 0 {
		return errors.New("no command to run")
	}
	program, err := exec.LookPath(o.Argv[0])
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a child subreaper: %w", err)
	}
	listener, err := h.ListenInit()
	if err != nil {
		return err
	}
	defer listener.Close()
	m := &machine{host: h, options: o, program: program, ended: make(chan os.Signal, 1), again: time.NewTimer(0), boot: new(atomic.Int64)}
	<-m.again.C
	signal.Notify(m.ended, unix.SIGCHLD)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGINT)
	if o.Until != nil {
		go func() {
			_, _ = io.Copy(io.Discard, o.Until)
			stop <- unix.SIGTERM
		}()
	}
	requests := make(chan request)
	go accept(listener, m.boot, requests)
	defer m.killAll(0)
	if err := m.powerUp(); err != nil {
		return err
	}
	return m.loop(requests, stop)
}

func (m *machine) loop(requests <-chan request, stop <-chan os.Signal) error {
	for {
		select {
		case <-m.ended:
			m.reap()
		case <-m.again.C:
			if err := m.start(); err != nil {
				return err
			}
		case <-m.begins():
			m.falling = nil
			if err := m.reboot(); err != nil {
				return err
			}
		case r := <-requests:
			answer := "done"
			if err := m.obey(r); err != nil {
				answer = err.Error()
			}
			// Nobody listens any more when the asker was on the host.
			fmt.Fprintln(r.conn, answer)
			r.conn.Close()
		case <-stop:
			return nil
		}
	}
}

// accept reads one word from each connection; it ends with the listener.
func accept(l net.Listener, boot *atomic.Int64, requests chan<- request) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		made := boot.Load()
		go func() {
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				conn.Close()
				return
			}
			requests <- request{verb: strings.TrimSpace(line), boot: made, conn: conn}
		}()
	}
}

// powerUp boots a host that had an init before, and starts the command.
func (m *machine) powerUp() error {
	first := false
	err := m.host.Update(func(s *fakehost.State) error {
		first = s.Inits == 0 && s.Power == fakehost.On
		s.Inits++
		return nil
	})
	if err == nil && !first {
		err = m.host.StartBoot("init")
	}
	if err != nil {
		return err
	}
	return m.start()
}

func (m *machine) obey(r request) error {
	grace := m.options.Grace
	switch verb := r.verb; verb {
	case "ping":
		return nil
	case "reboot":
		if r.boot != m.boot.Load() {
			return nil // the host has restarted since
		}
		if m.options.Delay > 0 {
			if m.falling == nil {
				m.falling = time.NewTimer(m.options.Delay)
			}
			return nil
		}
		return m.reboot()
	case "power-cut":
		grace = 0
		fallthrough
	case "poweroff":
		m.down(grace)
		m.boot.Add(1)
		return m.host.StopBoot(verb)
	case "poweron":
		if err := m.host.StartBoot(verb); err != nil {
			return err
		}
		return m.start()
	}
	return fmt.Errorf("init does not know %q", r.verb)
}

func (m *machine) reboot() error {
	m.record("reboot", fakehost.KindPower, "")
	m.down(m.options.Grace)
	err := m.host.StartBoot("reboot")
	m.boot.Add(1)
	return errors.Join(err, m.start())
}

// down ends every process of the host and keeps the command from coming back.
func (m *machine) down(grace time.Duration) {
	m.again.Stop()
	m.falling = nil
	m.pid = 0
	m.killAll(grace)
	m.backoff = 0
}
