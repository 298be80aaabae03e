package command

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"devserver-agent/protocol"
)

const runEnv = "CONTROLPLANE_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runEnv) != "" {
		os.Exit(Main("test"))
	}
	os.Exit(m.Run())
}

func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	// With the race detector in it, a program that ends well sleeps for a second first.
	cmd.Env = append(os.Environ(), runEnv+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

func TestWhatItCannotDoIsASentenceAndExitCode1(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no data folder":            {nil, `"data-dir" not set`},
		"HTTP for everybody":        {[]string{"--data-dir", dir, "--listen", "0.0.0.0:0"}, "no authentication is configured"},
		"NATS for everybody":        {[]string{"--data-dir", dir, "--listen", "127.0.0.1:0", "--nats-listen", "0.0.0.0:0"}, "no authentication is configured"},
		"jobs that live too long":   {[]string{"--data-dir", dir, "--expires", "1000h"}, "--expires"},
		"a log level that is none":  {[]string{"--data-dir", dir, "--log-level", "loud"}, "--log-level"},
		"a log format that is none": {[]string{"--data-dir", dir, "--log-format", "xml"}, "--log-format"},
		"an argument":               {[]string{"--data-dir", dir, "serve"}, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := program(t, test.args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), test.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestItServesUntilSIGTERM(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := program(t, "--data-dir", dir, "--listen", addr, "--nats-listen", "127.0.0.1:0")
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(logs)
	for lines.Scan() && !strings.Contains(lines.Text(), "control plane is ready") {
	}
	text, err := os.ReadFile(filepath.Join(dir, "signing.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := protocol.ParseKey(string(text)); err != nil || !strings.Contains(lines.Text(), key.String()) {
		t.Errorf("log says %s, the key is %s: %v", lines.Text(), text, err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s is %d", path, resp.StatusCode)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
