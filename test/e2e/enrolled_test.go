package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"devserver-agent/test/fakehost"
)

// enrolledFleet starts a control plane whose broker asks everybody who he is.
// With --enrolment-key it enrols hosts.
func enrolledFleet(t testing.TB, more ...string) (f *fleet, dir string) {
	t.Helper()
	f = fleetOf(t)
	dir = filepath.Join(f.dir, "fleet")
	broker := filepath.Join(dir, "brokers", "nats-1")
	f.mustCtl("fleet", "init", dir, "--broker", "nats-1="+f.nats, "--config-dir", broker, "--store-dir", filepath.Join(f.dir, "store"))
	if len(more) > 0 {
		more = append(more, filepath.Join(dir, "enrolment.key"))
	}
	f.plane = f.daemon("controlplane", controlPlane, append(more, "--listen", f.api, "--nats-config", filepath.Join(broker, "nats-server.conf"),
		"--nats-credentials-file", filepath.Join(dir, "controlplane.creds"), "--data-dir", f.data(), "--watch-every", "200ms", "--log-format", "console")...)
	f.startPlane()
	return f, dir
}

// logsIn has the agent log in to the fleet's broker, with no proxy between.
func (h *npuHost) logsIn(f *fleet, dir string) {
	h.t.Helper()
	text, err := os.ReadFile(h.path("config.yaml"))
	h.must(err)
	own := fmt.Sprintf("spread: 200ms, ca_file: %s, credentials_file: %s}", filepath.Join(dir, "ca.pem"), h.path("agent.creds"))
	changed := strings.NewReplacer("spread: 200ms}", own, h.net.url(), "tls://"+f.nats).Replace(string(text))
	h.must(os.WriteFile(h.path("config.yaml"), []byte(changed), 0o600))
}

// enrol gives a host its credentials; its key is made on the host.
func (f *fleet) enrol(dir string, h *npuHost, more ...string) {
	f.t.Helper()
	public, err := h.command("enrol").Output()
	f.must(err)
	f.mustCtl(append([]string{"fleet", "enrol", h.server, "--fleet", dir, "--public-key", strings.TrimSpace(string(public))}, more...)...)
	if said, err := h.command("enrol", filepath.Join(dir, "agents", h.server+".creds")).CombinedOutput(); err != nil {
		f.t.Fatalf("%v: %s", err, said)
	}
}

// TestSystemAnEnrolledFleet runs jobs over TLS with enrolled agents, through kills, a
// revocation and an enrolment anew.
func TestSystemAnEnrolledFleet(t *testing.T) {
	t.Parallel()
	f, dir := enrolledFleet(t)
	for _, server := range []string{"srv-1", "srv-2"} {
		h := f.add(server, fakehost.A2, fakehost.Options{})
		h.logsIn(f, dir)
		f.enrol(dir, h)
		h.start()
	}
	f.finished(f.query("srv-1", "srv-2"), nil)

	gated := f.hosts["srv-1"]
	gated.kill()
	gated.gateTool()
	gated.start()
	id := f.query("srv-1", "srv-2")
	until(t, "the gated task runs", func() error {
		j, err := f.job(id)
		if err == nil && j.Tasks[0].Phase != "RUNNING" && j.Tasks[1].Phase != "RUNNING" {
			err = fmt.Errorf("they are %s and %s", j.Tasks[0].Phase, j.Tasks[1].Phase)
		}
		return err
	})
	f.killPlane()
	gated.kill()
	gated.openTool()
	f.startPlane()
	gated.start()
	f.finished(id, nil)

	// A host that is revoked hears nothing any more, and the other goes on.
	f.mustCtl("fleet", "revoke", "srv-2", "--fleet", dir)
	until(t, "the revoked host's agent says why it is not connected", func() error {
		said, err := f.hosts["srv-2"].command("status").CombinedOutput()
		if err == nil && !strings.Contains(strings.ToLower(string(said)), "authorization violation") {
			err = errors.New(string(said))
		}
		return err
	})
	waiting := f.query("srv-2")
	f.finished(f.query("srv-1"), nil)

	// Enrolled anew, it comes back by itself and does what waited.
	f.enrol(dir, f.hosts["srv-2"])
	f.finished(waiting, nil)
}

// TestSystemTheAuditLogIsKeptElsewhere: what a host wrote is at the control plane, and
// that it was written anew is noticed there.
func TestSystemTheAuditLogIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	f, dir := enrolledFleet(t)
	h := f.add("srv-1", fakehost.A2, fakehost.Options{})
	h.logsIn(f, dir)
	f.enrol(dir, h)
	h.start()
	f.finished(f.query("srv-1"), nil)
	same := func() error {
		there, err := f.ctl("server", "audit", "srv-1")
		if err != nil {
			return fmt.Errorf("%w: %s", err, there)
		}
		here, err := h.command("audit", "verify").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, here)
		}
		head := regexp.MustCompile(`head (?:is )?([0-9a-f]{64})`)
		a, b := head.FindStringSubmatch(string(there)), head.FindStringSubmatch(string(here))
		if a == nil || b == nil || a[1] != b[1] || !strings.Contains(string(there), `"VERDICT"`) {
			return fmt.Errorf("there: %s\nhere: %s", there, here)
		}
		return nil
	}
	until(t, "the control plane has the whole log", same)

	h.kill()
	h.must(os.RemoveAll(filepath.Join(h.stateDir(), "audit")))
	h.start()
	until(t, "the control plane notices that the log is another one", func() error {
		out, err := f.ctl("server", "audit", "srv-1")
		if err == nil || !strings.Contains(string(out), "DOES NOT HOLD") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}

// TestSystemAHostEnrolsWithAToken and nobody but the control plane helps it; it is
// revoked like any other.
func TestSystemAHostEnrolsWithAToken(t *testing.T) {
	t.Parallel()
	f, dir := enrolledFleet(t, "--enrolment-key")
	h := f.add("srv-1", fakehost.A2, fakehost.Options{})
	h.logsIn(f, dir)
	token := f.mustCtl("fleet", "token", "srv-1", "--fleet", dir)
	enrol := func() (string, error) {
		cmd := h.command("enrol", "--url", "http://"+f.api)
		cmd.Stdin = bytes.NewReader(token)
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	for range 2 { // the first answer may have been lost
		if said, err := enrol(); err != nil || !strings.Contains(said, "is written") {
			t.Fatalf("%v: %s", err, said)
		}
	}
	h.start()
	f.finished(f.query("srv-1"), nil)

	seed, err := os.ReadFile(h.path("agent.seed"))
	h.must(err)
	h.must(os.Remove(h.path("agent.seed")))
	if said, err := enrol(); err == nil || !strings.Contains(said, "was used before") {
		t.Errorf("another key: %v, %s", err, said)
	}
	h.must(os.WriteFile(h.path("agent.seed"), seed, 0o600))

	f.mustCtl("fleet", "revoke", "srv-1", "--fleet", dir)
	until(t, "the revoked host's agent says why it is not connected", func() error {
		said, err := h.command("status").CombinedOutput()
		if err == nil && !strings.Contains(strings.ToLower(string(said)), "authorization violation") {
			err = errors.New(string(said))
		}
		return err
	})
}
