package local

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// desk answers like an agent would, without one.
type desk struct {
	held, draining bool
	work           []Work
}

func (d *desk) Status() Status { return Status{ServerID: "srv-1", Open: 3} }

func (d *desk) Exec(w Work) (string, error) {
	if w.Type == "UNKNOWN" {
		return "", errors.New("this agent has no executor for UNKNOWN")
	}
	d.work = append(d.work, w)
	return "local-1", nil
}

func (d *desk) Hold(on bool) error  { d.held = on; return nil }
func (d *desk) Drain(on bool) error { d.draining = on; return nil }

func serve(t *testing.T, d *desk) Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "agent.sock")
	s, err := Listen(path, d)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return Client{Path: path}
}

func TestTheAgentAnswersOnItsSocket(t *testing.T) {
	d := &desk{}
	c, ctx := serve(t, d), context.Background()

	s, err := c.Status(ctx)
	if err != nil || s.ServerID != "srv-1" || s.Open != 3 {
		t.Errorf("status is %+v, %v", s, err)
	}
	id, err := c.Exec(ctx, Work{Type: "HDK_QUERY", Spec: map[string]string{"a": "b"}})
	if err != nil || id != "local-1" {
		t.Errorf("exec answered %q, %v", id, err)
	}
	if diff := cmp.Diff([]Work{{Type: "HDK_QUERY", Spec: map[string]string{"a": "b"}}}, d.work); diff != "" {
		t.Errorf("work the agent got (-want +got):\n%s", diff)
	}
	if err := errors.Join(c.Hold(ctx, true), c.Drain(ctx, true)); err != nil || !d.held || !d.draining {
		t.Errorf("held %v, draining %v, %v", d.held, d.draining, err)
	}
	if err := c.Hold(ctx, false); err != nil || d.held {
		t.Errorf("held %v after it was lifted, %v", d.held, err)
	}
}

func TestWhatTheAgentRefusesComesBackAsItsSentence(t *testing.T) {
	c := serve(t, &desk{})
	_, err := c.Exec(context.Background(), Work{Type: "UNKNOWN"})
	if err == nil || err.Error() != "this agent has no executor for UNKNOWN" {
		t.Errorf("error is %v", err)
	}
	_, err = c.Exec(context.Background(), Work{Type: strings.Repeat("x", maxRequest)})
	if err == nil {
		t.Error("a request over the limit was taken")
	}
}

func TestNobodyAnswersWhereNoAgentRuns(t *testing.T) {
	dir := t.TempDir()
	if _, err := (Client{Path: filepath.Join(dir, "none.sock")}).Status(context.Background()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("error is %v", err)
	}
	// The socket of an agent that was killed is still there.
	left := filepath.Join(dir, "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := (Client{Path: left}).Status(context.Background()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("error is %v", err)
	}
	s, err := Listen(left, &desk{})
	if err != nil {
		t.Fatalf("the next agent cannot take the socket: %v", err)
	}
	if err := s.listener.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheSocketIsForItsOwnerOnly(t *testing.T) {
	c := serve(t, &desk{})
	info, err := os.Stat(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode of the socket is %o", mode)
	}
	dir, err := os.Stat(filepath.Dir(c.Path))
	if err != nil {
		t.Fatal(err)
	}
	if mode := dir.Mode().Perm(); mode != 0o700 {
		t.Errorf("mode of its folder is %o", mode)
	}
}

func TestAWrongMethodIsRefused(t *testing.T) {
	c := serve(t, &desk{})
	if err := c.call(context.Background(), http.MethodGet, "/exec", nil, nil); err == nil {
		t.Error("GET /exec was answered")
	}
}
