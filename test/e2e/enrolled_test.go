package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
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
	f.plane = f.daemon("controlplane", programs.ControlPlane, append(more, "--listen", f.api, "--nats-config", filepath.Join(broker, "nats-server.conf"),
		"--nats-credentials-file", filepath.Join(dir, "controlplane.creds"), "--data-dir", f.data(), "--watch-every", "1s", "--log-format", "console")...)
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

// addEnrolled adds a host that has its credentials; its agent is not started yet.
func (f *fleet) addEnrolled(dir, server string) *npuHost {
	f.t.Helper()
	h := f.add(server, fakehost.A2, fakehost.Options{})
	h.logsIn(f, dir)
	f.enrol(dir, h)
	return h
}

// TestSystemAnEnrolledFleet runs jobs over TLS with enrolled agents, through kills, a
// revocation and an enrolment anew.
func TestSystemAnEnrolledFleet(t *testing.T) {
	t.Parallel()
	f, dir := enrolledFleet(t)
	f.addEnrolled(dir, "srv-1").start()
	f.addEnrolled(dir, "srv-2").start()
	f.finished(f.query("srv-1", "srv-2"), nil)

	gated := f.hosts["srv-1"]
	gated.kill()
	gated.gateTool()
	gated.start()
	id := f.query("srv-1", "srv-2")
	wait.Until(t, "the gated task runs", func() error {
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
	wait.Until(t, "the revoked host's agent says why it is not connected", func() error {
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

// TestSystemTheBrokersCertificateIsMadeAnew while jobs go on: nothing is started again,
// and who was revoked stays so, also by a configuration of before.
func TestSystemTheBrokersCertificateIsMadeAnew(t *testing.T) {
	t.Parallel()
	f, dir := enrolledFleet(t)
	h := f.addEnrolled(dir, "srv-1")
	f.addEnrolled(dir, "srv-2")
	h.gateTool()
	h.start()
	id := f.query("srv-1")
	running := func() error {
		j, err := f.job(id)
		if err == nil && j.Tasks[0].Phase != "RUNNING" {
			err = fmt.Errorf("it is %s", j.Tasks[0].Phase)
		}
		return err
	}
	wait.Until(t, "the task runs", running)
	first, err := f.brokersCertificate(dir, "srv-2")
	f.must(err)
	broker := func(file string) string { return filepath.Join(dir, "brokers", "nats-1", file) }
	former, err := os.ReadFile(broker("nats-server.conf"))
	f.must(err)
	f.mustCtl("fleet", "revoke", "srv-2", "--fleet", dir)
	f.must(os.WriteFile(broker("nats-server.conf"), former, 0o600))

	// A certificate that cannot be read changes nothing.
	good, err := os.ReadFile(broker("server.pem"))
	f.must(err)
	f.must(os.WriteFile(broker("server.pem"), []byte("none"), 0o600))
	f.must(f.plane.cmd.Process.Signal(syscall.SIGHUP))
	wait.Until(t, "the control plane says so", func() error { return f.plane.says("goes on with its former configuration") })
	if got, err := f.brokersCertificate(dir, "srv-1"); err != nil || got != first {
		t.Errorf("the certificate is %s, it was %s: %v", got, first, err)
	}
	f.must(os.WriteFile(broker("server.pem"), good, 0o600))

	f.mustCtl("fleet", "renew", "--fleet", dir)
	f.must(f.plane.cmd.Process.Signal(syscall.SIGHUP))
	wait.Until(t, "the broker shows another certificate", func() error {
		got, err := f.brokersCertificate(dir, "srv-1")
		if err == nil && got == first {
			err = errors.New("it does not")
		}
		return err
	})
	f.must(running())
	h.openTool()
	f.finished(id, nil)
	h.kill()
	h.start()
	f.finished(f.query("srv-1"), nil)
	if _, err := f.brokersCertificate(dir, "srv-2"); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a revoked host logs in: %v", err)
	}
	f.mustCtl("fleet", "revoke", "srv-1", "--fleet", dir)
	if _, err := f.brokersCertificate(dir, "srv-1"); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a host that is revoked afterwards logs in: %v", err)
	}
}

// brokersCertificate logs in as a host and tells the number of the certificate that the
// fleet's authority made for the broker.
func (f *fleet) brokersCertificate(dir, server string) (serial string, err error) {
	conn, err := nats.Connect("tls://"+f.nats, nats.RootCAs(filepath.Join(dir, "ca.pem")),
		nats.UserCredentials(f.hosts[server].path("agent.creds")), nats.CustomInboxPrefix(protocol.InboxPrefix(server)), nats.Timeout(wait.Patience))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	state, err := conn.TLSConnectionState()
	f.must(err)
	return state.PeerCertificates[0].SerialNumber.String(), nil
}

// TestSystemTheAuditLogIsKeptElsewhere: what a host wrote is at the control plane, and
// that it was written anew is noticed there.
func TestSystemTheAuditLogIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	f, dir := enrolledFleet(t)
	h := f.addEnrolled(dir, "srv-1")
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
	wait.Until(t, "the control plane has the whole log", same)

	h.kill()
	h.must(os.RemoveAll(filepath.Join(h.stateDir(), "audit")))
	h.start()
	wait.Until(t, "the control plane notices that the log is another one", func() error {
		out, err := f.ctl("server", "audit", "srv-1")
		if err == nil || !strings.Contains(string(out), "DOES NOT HOLD") {
			return fmt.Errorf("it says %s", out)
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
	wait.Until(t, "the revoked host's agent says why it is not connected", func() error {
		said, err := h.command("status").CombinedOutput()
		if err == nil && !strings.Contains(strings.ToLower(string(said)), "authorization violation") {
			err = errors.New(string(said))
		}
		return err
	})
}

// TestSystemTheAPIForOthers: with TLS and users the control plane is asked by whoever may.
func TestSystemTheAPIForOthers(t *testing.T) {
	t.Parallel()
	f := fleetOf(t)
	host, _, err := net.SplitHostPort(f.api)
	f.must(err)
	made := filepath.Join(f.dir, "made") // for its certificate
	f.mustCtl("fleet", "init", made, "--broker", "api="+host)
	users, tokens := filepath.Join(f.dir, "users.yaml"), map[string]string{}
	for _, role := range []string{"reader", "operator"} {
		out, err := exec.Command(programs.ControlPlane.Path(t), "user", "add", role, "--users", users, "--role", role).Output()
		f.must(err)
		tokens[role] = filepath.Join(f.dir, role+".token")
		f.must(os.WriteFile(tokens[role], out, 0o600))
	}
	certificate := filepath.Join(made, "brokers", "api")
	f.plane = f.daemon("controlplane", programs.ControlPlane, "--listen", f.api, "--nats-listen", f.nats, "--data-dir", f.data(), "--log-format", "console",
		"--users", users, "--tls-cert", filepath.Join(certificate, "server.pem"), "--tls-key", filepath.Join(certificate, "server.key"))
	f.plane.start()
	as := func(token string, args ...string) (string, error) {
		out, err := exec.Command(programs.Ctl.Path(t), append(args, "--api", "https://"+f.api, "--ca-file", filepath.Join(made, "ca.pem"), "--token-file", token)...).CombinedOutput()
		return string(out), err
	}
	create := []string{"job", "create", "--name", "q", "--item", "HDK_QUERY", "--server", "srv-1", "--json"}
	wait.Until(t, "the control plane answers", func() error { _, err := as(tokens["reader"], "server", "list"); return err })
	if out, err := as(tokens["operator"], create...); err != nil || !strings.Contains(out, `"user_name": "operator"`) && !strings.Contains(out, `"user_name":"operator"`) {
		t.Errorf("an operator: %v, %s", err, out)
	}
	if out, err := as(tokens["reader"], create...); err == nil || !strings.Contains(out, "takes the role operator") {
		t.Errorf("a reader: %v, %s", err, out)
	}
	tokens["nobody"] = filepath.Join(f.dir, "nobody.token")
	f.must(os.WriteFile(tokens["nobody"], []byte("guess\n"), 0o600))
	if out, err := as(tokens["nobody"], "server", "list"); err == nil || !strings.Contains(out, "not known here") {
		t.Errorf("nobody: %v, %s", err, out)
	}
	if out, err := as(users, "server", "list"); err == nil || !strings.Contains(out, "no token") {
		t.Errorf("a file that is no token: %v, %s", err, out)
	}
	removed, err := exec.Command(programs.ControlPlane.Path(t), "user", "remove", "reader", "--users", users).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, removed)
	}
	if out, err := as(tokens["reader"], "server", "list"); err == nil || !strings.Contains(out, "not known here") {
		t.Errorf("a user who was removed: %v, %s", err, out)
	}
}
