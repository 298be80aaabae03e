package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
)

// trusts replaces the section trust of the configuration.
func (h *host) trusts(section string) {
	h.t.Helper()
	raw, err := os.ReadFile(h.path("config.yaml"))
	h.must(err)
	lines := strings.Split(string(raw), "\n")
	for n, line := range lines {
		if strings.HasPrefix(line, "trust: ") {
			lines[n] = "trust: " + section
		}
	}
	h.must(os.WriteFile(h.path("config.yaml"), []byte(strings.Join(lines, "\n")), 0o600))
}

// TestTrustOfAnUnsignedFleetBecomesThatOfASignedOne: tasks that nobody signed are in
// every state while first the agent and then the control plane begin with signatures.
// The same tasks signed are the same tasks.
func TestTrustOfAnUnsignedFleetBecomesThatOfASignedOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	key := r.key
	r.key = nil // nobody signs
	r.trusts("{allow_unsigned: true}")
	r.start()
	r.give("ended", "a:ok")
	r.ends("ended", protocol.Success, "")
	r.give("running", "b:gate", "c:ok")
	r.awaitProgram("b")
	r.give("waiting", "d:ok")
	r.accepted("waiting")

	r.kill()
	r.trusts(fmt.Sprintf("{allow_unsigned: true, keys: [%q]}", protocol.KeyOf(key)))
	r.start()
	r.give("between", "e:ok")
	r.accepted("between")

	// Now the control plane signs, the same bytes.
	for n, e := range r.box.Statements {
		payload, err := e.Content()
		r.must(err)
		r.box.Statements[n], err = protocol.SealPayload(key, e.PayloadType, payload)
		r.must(err)
	}
	r.key = key
	r.deliver()
	r.kill()
	r.trusts(fmt.Sprintf("{keys: [%q]}", r.trust()))
	r.start()
	r.give("signed", "f:ok")
	r.accepted("signed")

	forged := r.seal(r.task("forged", r.trial("forged:ok")))
	forged.Signatures = nil
	r.box.Statements = append(r.box.Statements, forged)
	r.deliver()
	r.notice(protocol.NoticeUnsigned)

	r.open("b")
	for _, task := range []string{"running", "waiting", "between", "signed"} {
		r.ends(task, protocol.Success, "")
	}
	r.wantStarts(map[string]int{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1})
}

// TestSystemAnAgentWithoutKeysObeysAControlPlaneThatSigns where trust.allow_unsigned is
// set, and keeps obeying it once it has its key.
func TestSystemAnAgentWithoutKeysObeysAControlPlaneThatSigns(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	h := f.add("srv-1", fakehost.A2, fakehost.Options{})
	h.trusts("{allow_unsigned: true}")
	h.start()
	f.finished(f.query("srv-1"), nil)
	h.kill()
	h.trusts(fmt.Sprintf("{keys: [%q]}", f.key()))
	h.start()
	f.finished(f.query("srv-1"), nil)
}

// TestSystemTheSigningKeyIsChanged while a task runs on one host and another host has
// not even seen its own.
func TestSystemTheSigningKeyIsChanged(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	busy, away := f.add("srv-1", fakehost.A2, fakehost.Options{}), f.add("srv-2", fakehost.A2, fakehost.Options{})
	busy.gateTool()
	busy.start()
	away.start()
	f.finished(f.query("srv-2"), nil) // it is known
	away.kill()
	before := f.key()
	id := f.query("srv-1", "srv-2")
	wait.Until(t, "the busy host runs its task", func() error {
		j, err := f.job(id)
		if err == nil && j.Tasks[0].Phase != "RUNNING" && j.Tasks[1].Phase != "RUNNING" {
			err = fmt.Errorf("they are %s and %s", j.Tasks[0].Phase, j.Tasks[1].Phase)
		}
		return err
	})

	// First the agents learn of the new key, then the control plane signs with it, and
	// then the agents forget the old one.
	keyFile, after := newSigningKey(t, f.dir)
	everybodyTrusts := func(keys ...any) {
		for _, h := range []*npuHost{busy, away} {
			h.kill()
			h.trusts("{keys: [" + strings.TrimSuffix(fmt.Sprintf(strings.Repeat("%q, ", len(keys)), keys...), ", ") + "]}")
		}
		busy.start() // the other one stays away
	}
	everybodyTrusts(before, after)
	f.killPlane()
	f.plane = f.daemon("controlplane", programs.ControlPlane, "--listen", f.api, "--nats-listen", f.nats, "--data-dir", f.data(),
		"--watch-every", "1s", "--log-format", "console", "--signing-key", keyFile, "--former-key", before.String())
	f.startPlane()
	everybodyTrusts(after)
	away.start()
	next := f.query("srv-1", "srv-2")
	busy.openTool()
	f.finished(id, nil)
	f.finished(next, nil)
}

// newSigningKey makes a key as openssl genpkey -algorithm ed25519 does.
func newSigningKey(t *testing.T, dir string) (file string, public protocol.Key) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "new.key")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, protocol.KeyOf(key)
}
