package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"devserver-agent/agent/audit"
	"devserver-agent/protocol"
	"devserver-agent/test/support/programs"
	"devserver-agent/test/support/wait"
	"devserver-agent/test/trial"
)

// A refusal is one attack of somebody who owns the broker: a statement that is listed
// beside a good task, and what is said of it.
type refusal struct {
	name   string
	listed func(r *rig) protocol.Envelope
	notice protocol.Code // of a notice, or
	code   protocol.Code // of a verdict of the task "bad"
	// bounds are what the agent's trust.keys has behind the second key, which signs bad
	// statements then; the good ones have the first.
	bounds string
}

var refusals = []refusal{
	{name: "unsigned", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		e.Signatures = nil
		return e
	}, notice: protocol.NoticeUnsigned},
	{name: "signed with a key nobody trusts", listed: func(r *rig) protocol.Envelope {
		return r.signedByAnother(r.bad())
	}, notice: protocol.NoticeUnknownKey},
	{name: "changed on its way", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		payload, _ := base64.StdEncoding.DecodeString(e.Payload)
		e.Payload = base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(payload), "bad", "BAD", 1)))
		return e
	}, notice: protocol.NoticeSignature},
	{name: "for another server", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.ServerID = "server-2"
		return r.seal(task)
	}, notice: protocol.NoticeWrongServer},
	{name: "of an unknown payload type", listed: func(r *rig) protocol.Envelope {
		return r.sealPayload("application/vnd.devserver.task.v2+json", []byte(`{"task_id":"bad"}`))
	}, notice: protocol.NoticePayloadType},
	{name: "not JSON", listed: func(r *rig) protocol.Envelope {
		return r.sealPayload(protocol.TaskPayload, []byte("this is not JSON"))
	}, notice: protocol.NoticeUnparsable},
	{name: "with an id that is a wildcard", listed: func(r *rig) protocol.Envelope { return r.withID(">") }, notice: protocol.NoticeUnparsable},
	{name: "with an id that is a path", listed: func(r *rig) protocol.Envelope { return r.withID("../x") }, notice: protocol.NoticeUnparsable},
	{name: "with an id of a thousand letters", listed: func(r *rig) protocol.Envelope {
		return r.withID(strings.Repeat("x", 1000))
	}, notice: protocol.NoticeUnparsable},
	{name: "too large for an envelope", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		e.Payload = base64.StdEncoding.EncodeToString(make([]byte, 1<<20))
		return e
	}, notice: protocol.NoticeTooLarge},
	{name: "of an unknown type", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.Items[0].Type = "MAKE_COFFEE"
		return r.seal(task)
	}, code: protocol.TypeUnknown},
	{name: "with a parameter missing", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		delete(task.Items[0].Spec, "steps")
		return r.seal(task)
	}, code: protocol.SpecInvalid},
	{name: "with a parameter nobody knows", listed: func(r *rig) protocol.Envelope { return r.withSpec("evil", "x") }, code: protocol.SpecInvalid},
	{name: "with spaces in a version", listed: func(r *rig) protocol.Envelope { return r.query("version", "24.1 ; reboot") }, code: protocol.SpecInvalid},
	{name: "with a path as a version", listed: func(r *rig) protocol.Envelope { return r.query("version", "../../etc/passwd") }, code: protocol.SpecInvalid},
	{name: "with control characters", listed: func(r *rig) protocol.Envelope { return r.withSpec("policy", "retry\x1b[2J\n") }, code: protocol.SpecInvalid},
	{name: "with a parameter too long", listed: func(r *rig) protocol.Envelope { return r.withSpec("policy", strings.Repeat("x", 3<<10)) }, code: protocol.SpecInvalid},
	{name: "expired", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.IssuedAt, task.ExpiresAt = task.IssuedAt-7200_000, task.IssuedAt-3600_000
		return r.seal(task)
	}, code: protocol.TaskExpired},
	{name: "valid for a year", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.ExpiresAt = task.IssuedAt + 365*24*3600_000
		return r.seal(task)
	}, code: protocol.SpecInvalid},
	{name: "without items", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.Items = nil
		return r.seal(task)
	}, code: protocol.SpecInvalid},
	{name: "with the signature of another statement", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		e.Signatures = r.seal(r.cancel("bad")).Signatures
		return e
	}, notice: protocol.NoticeSignature},
	{name: "a task passed off as a cancel", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		e.PayloadType = protocol.CancelPayload
		return e
	}, notice: protocol.NoticeSignature},
	{name: "signed without its type", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		payload, _ := e.Content()
		e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(ed25519.Sign(r.key, payload))
		return e
	}, notice: protocol.NoticeSignature},
	{name: "with a signature that is empty", listed: func(r *rig) protocol.Envelope { return r.withSignature("") }, notice: protocol.NoticeSignature},
	{name: "with a signature that is no base64", listed: func(r *rig) protocol.Envelope { return r.withSignature("{}") }, notice: protocol.NoticeSignature},
	{name: "with a signature of zeros", listed: func(r *rig) protocol.Envelope {
		return r.withSignature(base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize)))
	}, notice: protocol.NoticeSignature},
	{name: "signed by another in the name of the key", listed: func(r *rig) protocol.Envelope {
		e := r.signedByAnother(r.bad())
		e.Signatures[0].KeyID = r.trust().ID()
		return e
	}, notice: protocol.NoticeSignature},
	{name: "with fifty signatures of strangers", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		e.Signatures = nil
		for range 50 {
			e.Signatures = append(e.Signatures, protocol.Signature{KeyID: "0011223344556677", Sig: "AAAA"})
		}
		return e
	}, notice: protocol.NoticeUnknownKey},
	{name: "a cancel that nobody signed", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.cancel("good"))
		e.Signatures = nil
		return e
	}, notice: protocol.NoticeUnsigned},
	{name: "a cancel of a stranger", listed: func(r *rig) protocol.Envelope { return r.signedByAnother(r.cancel("good")) }, notice: protocol.NoticeUnknownKey},
	{name: "a cancel for another server", listed: func(r *rig) protocol.Envelope {
		c := r.cancel("good")
		c.ServerID = "server-2"
		return r.seal(c)
	}, notice: protocol.NoticeWrongServer},
	{name: "a resend of a stranger", listed: func(r *rig) protocol.Envelope {
		return r.signedByAnother(protocol.Resend{TaskID: "good", ServerID: "server-1"})
	}, notice: protocol.NoticeUnknownKey},
	{name: "a resend for another server", listed: func(r *rig) protocol.Envelope {
		return r.seal(protocol.Resend{TaskID: "good", ServerID: "server-2"})
	}, notice: protocol.NoticeWrongServer},
	{name: "a resend of what is not", listed: func(r *rig) protocol.Envelope {
		return r.seal(protocol.Resend{TaskID: "nothing", ServerID: "server-1"})
	}, notice: protocol.NoticeUnparsable},
	{name: "with a payload that is no base64", listed: func(r *rig) protocol.Envelope {
		e := r.seal(r.bad())
		e.Payload = "{}"
		return e
	}, notice: protocol.NoticeUnparsable},
	{name: "a list", listed: func(r *rig) protocol.Envelope { return r.sealPayload(protocol.TaskPayload, []byte("[]")) }, notice: protocol.NoticeUnparsable},
	{name: "nested two thousand times", listed: func(r *rig) protocol.Envelope {
		return r.sealPayload(protocol.TaskPayload, []byte(`{"items":`+strings.Repeat("[", 2000)))
	}, notice: protocol.NoticeUnparsable},
	{name: "with an id that is a number", listed: func(r *rig) protocol.Envelope {
		return r.sealPayload(protocol.TaskPayload, []byte(`{"task_id":7,"server_id":"server-1"}`))
	}, notice: protocol.NoticeUnparsable},
	{name: "with an id that is empty", listed: func(r *rig) protocol.Envelope { return r.withID("") }, notice: protocol.NoticeUnparsable},
	{name: "with an id that ends the text", listed: func(r *rig) protocol.Envelope { return r.withID("x\x00y") }, notice: protocol.NoticeUnparsable},
	{name: "with an id of two subjects", listed: func(r *rig) protocol.Envelope { return r.withID("x.y") }, notice: protocol.NoticeUnparsable},
	{name: "a cancel of a path", listed: func(r *rig) protocol.Envelope { return r.seal(r.cancel("../../etc")) }, notice: protocol.NoticeUnparsable},
	{name: "with a key that has ended", listed: func(r *rig) protocol.Envelope { return r.bySecond(r.bad()) }, notice: protocol.NoticeKeyEnded, bounds: "until=2026-01-01"},
	{name: "with a key that has not begun", listed: func(r *rig) protocol.Envelope { return r.bySecond(r.bad()) }, notice: protocol.NoticeKeyEnded, bounds: "from=2100-01-01"},
	{name: "with a key for other work", listed: func(r *rig) protocol.Envelope { return r.bySecond(r.bad()) }, notice: protocol.NoticeKeyRole, bounds: "only=HDK_QUERY"},
	{name: "a cancel with a key for work", listed: func(r *rig) protocol.Envelope { return r.bySecond(r.cancel("good")) }, notice: protocol.NoticeKeyRole, bounds: "only=" + trial.Type},
	{name: "a restart with a key for work", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.IsReboot = true
		return r.bySecond(task)
	}, notice: protocol.NoticeKeyRole, bounds: "only=" + trial.Type},
	{name: "issued tomorrow", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.IssuedAt, task.ExpiresAt = task.IssuedAt+24*3600_000, task.ExpiresAt+24*3600_000
		return r.seal(task)
	}, notice: protocol.NoticeNotYetValid},
	{name: "with a restart where there is none", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.IsReboot = true
		return r.seal(task)
	}, code: protocol.RebootUnavailable},
	{name: "of a type that is a path", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.Items[0].Type = "../../bin/sh"
		return r.seal(task)
	}, code: protocol.SpecInvalid},
	{name: "with more items than there may be", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.Items = slices.Repeat([]protocol.Item{{Type: "HDK_QUERY"}}, protocol.MaxItems+1)
		return r.seal(task)
	}, code: protocol.SpecInvalid},
	{name: "that expires before it was issued", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.IssuedAt, task.ExpiresAt = task.ExpiresAt, task.IssuedAt
		task.IssuedAt -= 3600_000
		task.ExpiresAt -= 3600_001
		return r.seal(task)
	}, code: protocol.SpecInvalid},
	{name: "with a time that is negative", listed: func(r *rig) protocol.Envelope {
		task := r.bad()
		task.TimeoutSeconds = -1
		return r.seal(task)
	}, code: protocol.SpecInvalid},
}

func (r *rig) bad() protocol.Task { return r.task("bad", r.trial("bad:ok")) }

// second signs what trustSecond bounds.
var second = ed25519.NewKeyFromSeed([]byte("a key that is trusted with little"[:32]))

// trustSecond has the agent trust a second key within bounds.
func (r *rig) trustSecond(bounds string) {
	r.t.Helper()
	raw, err := os.ReadFile(r.path("config.yaml"))
	r.must(err)
	keys := fmt.Sprintf("trust: {keys: [%q, %q]}", r.trust(), protocol.KeyOf(second).String()+" "+bounds)
	changed := strings.Replace(string(raw), fmt.Sprintf("trust: {keys: [%q]}", r.trust()), keys, 1)
	if !strings.Contains(changed, bounds) {
		r.t.Fatalf("the configuration is %s", raw)
	}
	r.must(os.WriteFile(r.path("config.yaml"), []byte(changed), 0o600))
}

func (r *rig) bySecond(statement any) protocol.Envelope {
	r.t.Helper()
	e, err := protocol.Seal(second, statement)
	r.must(err)
	return e
}

func (r *rig) withSignature(sig string) protocol.Envelope {
	r.t.Helper()
	e := r.seal(r.bad())
	e.Signatures[0].Sig = sig
	return e
}

// audited looks for a line of the audit log, whose chain must hold.
func (r *rig) audited(is func(audit.Entry) bool) {
	r.t.Helper()
	wait.Until(r.t, "the audit log has it", func() error {
		out, err := r.command("audit", "show", "--json").Output()
		if err != nil {
			return err
		}
		for _, text := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			var line audit.Line
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				return err
			}
			if is(line.Entry) {
				return nil
			}
		}
		return fmt.Errorf("it has only %s", out)
	})
	if out, err := r.command("audit", "verify").CombinedOutput(); err != nil {
		r.t.Errorf("%v: %s", err, out)
	}
}

func (r *rig) withID(id string) protocol.Envelope {
	task := r.bad()
	task.TaskID = id
	return r.seal(task)
}

func (r *rig) withSpec(key, value string) protocol.Envelope {
	task := r.bad()
	task.Items[0].Spec[key] = value
	return r.seal(task)
}

func (r *rig) query(key, value string) protocol.Envelope {
	return r.seal(r.task("bad", protocol.Item{Type: "HDK_QUERY", Spec: map[string]string{key: value}}))
}

func (r *rig) sealPayload(payloadType string, payload []byte) protocol.Envelope {
	r.t.Helper()
	e, err := protocol.SealPayload(r.key, payloadType, payload)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) signedByAnother(statement any) protocol.Envelope {
	r.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	e, err := protocol.Seal(key, statement)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func TestDeliveryOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, roomy)
			if c.bounds != "" {
				r.trustSecond(c.bounds)
			}
			r.start()
			r.box.Statements = append(r.box.Statements, c.listed(r))
			r.give("good", "good:ok")
			r.ends("good", protocol.Success, "")
			if c.notice != "" {
				if n := r.notice(c.notice); n.Message == "" || n.ServerID != "server-1" || n.Count < 1 {
					t.Errorf("the notice is %+v", n)
				}
				r.audited(func(e audit.Entry) bool {
					return e.Code == string(c.notice) && (e.Event == audit.Refused || e.Event == audit.Noticed)
				})
				if said := len(r.statuses()) - len(r.of("good")); said > 0 {
					t.Errorf("a status was caused: %v", brief(r.statuses()))
				}
			} else if v := r.ends("bad", protocol.Failed, c.code); !strings.Contains(v.Message, "Nothing was started") || len(v.Message) > protocol.MaxMessage {
				t.Errorf("the message is %q", v.Message)
			} else {
				r.audited(func(e audit.Entry) bool {
					return e.Event == audit.Verdict && e.Task == "bad" && e.Code == string(c.code)
				})
			}
			r.wantStarts(map[string]int{"good": 1})
			if tasks, err := os.ReadDir(r.stateDir() + "/tasks"); err != nil || len(tasks) > 2 {
				t.Errorf("folders were made: %v, %v", tasks, err)
			}
		})
	}
	t.Run("a mailbox that is no JSON", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		if err := r.storeRaw("server-1", []byte("\x00{")); err != nil {
			t.Fatal(err)
		}
		r.notice(protocol.NoticeUnparsable)
		r.give("good", "good:ok")
		r.ends("good", protocol.Success, "")
	})
	t.Run("a mailbox of another server", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.start()
		box := r.copy()
		box.ServerID = "server-2"
		raw, err := json.Marshal(box)
		if err == nil {
			err = r.storeRaw("server-1", raw)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.notice(protocol.NoticeWrongServer)
		r.give("good", "good:ok")
		r.ends("good", protocol.Success, "")
	})
}

const (
	floodOf   = 100_000
	floodRoom = 50 << 20        // bytes of memory that the agent may have had
	floodOver = 5 * time.Second // until a good task is through
)

// TestAFloodOfBadMessages: whoever owns the broker pushes a hundred thousand messages,
// each bad in another way, as fast as it can.
func TestAFloodOfBadMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.binary = programs.TestAgent.Path(t) // without race detector: its memory counts
	r.start()
	r.give("before", "before:ok")
	r.ends("before", protocol.Success, "")
	r.fold(r.statuses())

	named := r.signedByAnother(r.bad())
	named.Signatures[0].KeyID = r.trust().ID()
	unsigned := r.seal(r.bad())
	unsigned.Signatures = nil
	box := func(statements ...protocol.Envelope) []byte {
		raw, err := json.Marshal(protocol.Mailbox{ServerID: "server-1", Epoch: "first", Statements: statements})
		r.must(err)
		return raw
	}
	bad := [][]byte{
		box(unsigned), box(named), box(r.signedByAnother(r.bad())), box(r.seal(r.cancelFor("server-2"))),
		box(slices.Repeat([]protocol.Envelope{named}, 20)...), []byte("{"), nil, make([]byte, 64<<10), []byte(strings.Repeat("[", 10_000)),
	}
	for n := range floodOf {
		message := bad[n%len(bad)]
		if n%5000 == 0 {
			message = box(slices.Repeat([]protocol.Envelope{unsigned}, 1000)...) // some of the largest
		}
		r.must(r.conn.Publish(protocol.PushSubject("server-1"), message))
	}
	r.must(r.conn.FlushTimeout(wait.Patience))

	over := time.Now()
	r.give("after", "after:ok")
	wait.Until(t, "the good task has its verdict", func() error {
		if r.verdict("after") == nil {
			return fmt.Errorf("the broker has %v", brief(r.statuses()))
		}
		return nil
	})
	took := time.Since(over)
	t.Logf("a good task was through %s after the flood, the agent has had %d MiB", took, r.resident()>>20)
	if took > floodOver {
		t.Errorf("it took %s until a good task was through", took)
	}
	if got := r.resident(); got > floodRoom {
		t.Errorf("the agent has had %d MiB", got>>20)
	}
	r.ends("after", protocol.Success, "")
	r.wantStarts(map[string]int{"before": 1, "after": 1})
	r.audited(func(e audit.Entry) bool {
		return e.Event == audit.Refused && e.Code == string(protocol.NoticeSignature)
	})
	if n := len(r.notices()); n > 200 {
		t.Errorf("%d notices were sent", n)
	}
}

func (r *rig) cancelFor(server string) protocol.Cancel {
	c := r.cancel("bad")
	c.ServerID = server
	return c
}

// TestRefusalsAreCounted for who watches metrics, those with a verdict too.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	address := freeAddress(t)
	r.configure(r.net.url(), r.trust(), fmt.Sprintf("metrics: {listen: %q}", address))
	r.start()
	unsigned := r.seal(r.task("other", r.trial("other:ok")))
	unsigned.Signatures = nil
	r.box.Statements = append(r.box.Statements, unsigned, r.withSpec("evil", "x"))
	r.give("good", "good:ok")
	r.ends("good", protocol.Success, "")
	r.ends("bad", protocol.Failed, protocol.SpecInvalid)
	wait.Until(t, "they are counted", func() error {
		reply, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		for _, line := range []string{
			`devserver_agent_notices_total{code="UNSIGNED"}`,
			`devserver_agent_verdicts_total{status="FAILED",code="SPEC_INVALID"} 1`,
			`devserver_agent_verdicts_total{status="SUCCESS",code=""} 1`,
		} {
			if err == nil && !strings.Contains(string(text), line) {
				err = fmt.Errorf("%s is not in %s", line, text)
			}
		}
		return err
	})
}
