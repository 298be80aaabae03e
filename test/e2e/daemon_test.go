package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// daemon is a program beside the agents that is killed and started again.
type daemon struct {
	t    testing.TB
	argv []string
	log  string // what it printed, in all its lives

	cmd   *exec.Cmd // nil until it is started
	ended chan struct{}
}

// newDaemon makes one that is killed when the test ends.
func newDaemon(t testing.TB, log string, argv ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, argv: argv, log: log}
	t.Cleanup(func() {
		d.kill()
		printed, _ := os.ReadFile(log) // it may never have been started
		if t.Failed() {
			t.Logf("%s (the end of %d bytes):\n%s", log, len(printed), printed[max(0, len(printed)-8000):])
		}
	})
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	cmd, ended := exec.Command(d.argv[0], d.argv[1:]...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // its log tells
		close(ended)
	}()
	d.cmd, d.ended = cmd, ended
}

// kill is kill -9.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Kill() // it may have ended
	<-d.ended
}

// runs reports whether it was started and has not ended.
func (d *daemon) runs() bool {
	if d.cmd == nil {
		return false
	}
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// says is nil when the daemon has printed text, in any of its lives.
func (d *daemon) says(text string) error {
	printed, err := os.ReadFile(d.log)
	if err == nil && !strings.Contains(string(printed), text) {
		err = fmt.Errorf("it does not say %q", text)
	}
	return err
}
