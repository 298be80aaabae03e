package attack

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"devserver-agent/cmd/devserverctl/fleet"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// TestAHostMayDoItsWork is the other side of what follows: with these credentials an
// agent can do all that it has to.
func TestAHostMayDoItsWork(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	c := s.login(evil)
	push, err := c.SubscribeSync(protocol.PushSubject(evil))
	s.must(err)
	s.must(c.FlushTimeout(wait.Patience))
	_, err = s.control.JS.Publish(t.Context(), protocol.MailboxSubject(evil), []byte("box"))
	s.must(err)
	m, err := push.NextMsg(wait.Patience)
	if err != nil || string(m.Data) != "box" {
		t.Errorf("the push: %v, %v", m, err)
	}
	m, err = c.Request(protocol.FetchSubject(evil), nil, wait.Patience)
	if err != nil || string(m.Data) != "box" {
		t.Errorf("the mailbox: %v, %v", m, err)
	}
	publish, _ := protocol.AgentSubjects(evil)
	for _, subject := range publish {
		subject = strings.ReplaceAll(subject, "*", "task-1")
		if subject == protocol.PresenceSubject(evil) || subject == protocol.FetchSubject(evil) {
			continue
		}
		ack, err := c.Request(subject, []byte("{}"), wait.Patience)
		if err != nil || !strings.Contains(string(ack.Data), `"seq"`) {
			t.Errorf("%s: %s, %v", subject, ack.Data, err)
		}
	}
	presence, err := s.control.Conn.SubscribeSync(protocol.PresenceSubject("*"))
	s.must(err)
	s.must(s.control.Conn.FlushTimeout(wait.Patience))
	s.must(c.Publish(protocol.PresenceSubject(evil), []byte("{}")))
	if _, err := presence.NextMsg(wait.Patience); err != nil {
		t.Errorf("presence: %v", err)
	}
	// What comes after a complaint comes after it, so it would have come by now.
	s.must(c.Publish(protocol.PresenceSubject(victim), nil))
	if said := c.refused(t); !strings.Contains(fmt.Sprint(said), protocol.PresenceSubject(victim)) {
		t.Errorf("the broker complains: %v", said)
	}
}

// forbidden are subjects that no host may write to.
func forbidden() []string {
	subjects := []string{
		protocol.MailboxSubject(victim), protocol.MailboxSubject(evil), protocol.PushSubject(victim), protocol.PushSubject(evil),
		protocol.StatusSubject(victim), protocol.OutputSubject(victim, "task-1"), protocol.FactsSubject(victim), protocol.PresenceSubject(victim), protocol.NoticeSubject(victim),
		protocol.InboxPrefix(victim) + ".x", "$KV." + protocol.JobsBucket + ".job-1", "$O.devserver-logs.M.x", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING",
	}
	for _, ask := range []string{
		"INFO", "STREAM.LIST", "STREAM.NAMES", "STREAM.INFO.%s", "STREAM.CREATE.MINE", "STREAM.UPDATE.%s", "STREAM.PURGE.%s", "STREAM.DELETE.%s", "STREAM.SNAPSHOT.%s",
		"STREAM.MSG.GET.%s", "STREAM.MSG.DELETE.%s", "DIRECT.GET.%s", "CONSUMER.CREATE.%s", "CONSUMER.DURABLE.CREATE.%s.mine", "CONSUMER.LIST.%s", "CONSUMER.MSG.NEXT.%s.mine",
	} {
		if strings.Contains(ask, "%s") {
			ask = fmt.Sprintf(ask, protocol.MailboxStream)
		}
		subjects = append(subjects, "$JS.API."+ask)
	}
	return append(subjects, "$JS.API.DIRECT.GET."+protocol.MailboxStream+"."+protocol.MailboxSubject(victim), "$JS.API.STREAM.PURGE."+protocol.StatusStream)
}

// TestAHostWritesOnlyAsItself publishes where it must not.
func TestAHostWritesOnlyAsItself(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	c := s.login(evil)
	before, box := s.contents(), s.mailbox()
	for _, subject := range append(forbidden(), protocol.FetchSubject(victim)) {
		t.Run(subject, func(t *testing.T) {
			s.must(c.PublishRequest(subject, protocol.InboxPrefix(evil)+".reply", []byte("evil")))
			if said := c.refused(t); !errors.Is(said, nats.ErrPermissionViolation) || !strings.Contains(said.Error(), fmt.Sprintf("%q", subject)) {
				t.Errorf("the broker says %v", said)
			}
		})
	}
	if after := s.contents(); !maps.Equal(before, after) || s.mailbox() != box {
		t.Errorf("the streams held %v and hold %v", before, after)
	}
}

// TestAHostHearsOnlyWhatIsForIt subscribes where it must not.
func TestAHostHearsOnlyWhatIsForIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	c := s.login(evil)
	for _, subject := range []string{
		">", "*.>", protocol.Root + ">", protocol.PushSubject("*"), protocol.PushSubject(victim), protocol.MailboxSubject("*"), protocol.StatusSubject("*"), protocol.StatusSubject(evil),
		protocol.OutputSubject("*", "*"), protocol.FactsSubject("*"), protocol.PresenceSubject("*"), protocol.NoticeSubject("*"), protocol.FetchSubject("*"), protocol.FetchSubject(victim),
		"_INBOX.>", "_INBOX.*.>", protocol.InboxPrefix(victim) + ".>", "$SYS.>", "$JS.>", "$KV.>", "$O.>",
	} {
		t.Run(subject, func(t *testing.T) {
			heard, err := c.SubscribeSync(subject)
			s.must(err)
			if said := c.refused(t); !errors.Is(said, nats.ErrPermissionViolation) || !strings.Contains(said.Error(), fmt.Sprintf("%q", subject)) {
				t.Errorf("the broker says %v", said)
			}
			_ = heard.Unsubscribe() // the broker never had it
		})
	}
}

// TestARepliesSubjectWritesNothing names what it may not write to as the subject of a
// reply to what it may: the broker answers replies itself and holds them against no
// permission.
func TestARepliesSubjectWritesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	c := s.login(evil)
	_, err := c.Request(protocol.FactsSubject(evil), []byte("{}"), wait.Patience) // so that fetch and facts have something to say
	s.must(err)
	_, err = s.control.JS.Publish(t.Context(), protocol.MailboxSubject(evil), []byte("written by the attacker"))
	s.must(err)
	box := s.mailbox()
	everything, err := s.control.Conn.SubscribeSync(">")
	s.must(err)
	s.must(s.control.Conn.FlushTimeout(wait.Patience))
	publish, _ := protocol.AgentSubjects(evil)
	for _, subject := range publish {
		subject = strings.ReplaceAll(subject, "*", "task-1")
		for _, reply := range forbidden() {
			t.Run(subject+" to "+reply, func(t *testing.T) {
				s.must(c.PublishRequest(subject, reply, []byte("{}")))
				c.settle(t)
			})
		}
	}
	// What was asked for is answered by now, or never: a question of our own is.
	_, err = c.Request(protocol.FetchSubject(evil), nil, wait.Patience)
	s.must(err)
	s.must(s.control.Conn.FlushTimeout(wait.Patience))
	for {
		m, err := everything.NextMsg(50 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		s.must(err)
		for _, target := range forbidden() {
			if m.Subject == target {
				t.Errorf("%s got %q", target, m.Data)
			}
		}
	}
	if s.mailbox() != box {
		t.Error("the victim's mailbox was written to")
	}
}

// TestHeadersGiveNoPower uses what JetStream does for the sake of headers.
func TestHeadersGiveNoPower(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	c := s.login(evil)
	honest := s.login(victim)
	for n := range 3 {
		_, err := honest.Request(protocol.StatusSubject(victim), fmt.Appendf(nil, `{"seq":%d}`, n), wait.Patience)
		s.must(err)
	}
	before := s.contents()
	for name, header := range map[string]nats.Header{
		"roll up the stream":     {"Nats-Rollup": {"all"}},
		"roll up the subject":    {"Nats-Rollup": {"sub"}},
		"a lifetime":             {"Nats-TTL": {"1s"}},
		"a schedule":             {"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {protocol.StatusSubject(victim)}},
		"a batch":                {"Nats-Batch-Id": {"1"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}},
		"a counter":              {"Nats-Incr": {"+1"}},
		"another stream":         {"Nats-Expected-Stream": {protocol.MailboxStream}},
		"a sequence that is not": {"Nats-Expected-Last-Sequence": {"7777"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &nats.Msg{Subject: protocol.StatusSubject(evil), Header: header, Data: []byte(`{}`)}
			answer, err := c.RequestMsg(m, wait.Patience)
			s.must(err)
			if !strings.Contains(string(answer.Data), `"error"`) {
				t.Errorf("the broker takes it: %s", answer.Data)
			}
		})
	}
	if after := s.contents(); !maps.Equal(before, after) {
		t.Errorf("the streams held %v and hold %v", before, after)
	}
}

// TestBoundsOfAConnection sends too much.
func TestBoundsOfAConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, fleet.Options{})
	t.Run("a message that is too large for the broker", func(t *testing.T) {
		c := s.login(evil)
		if err := c.Publish(protocol.StatusSubject(evil), make([]byte, 2<<20)); !errors.Is(err, nats.ErrMaxPayload) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a message that is too large for its stream", func(t *testing.T) {
		c := s.login(evil)
		answer, err := c.Request(protocol.StatusSubject(evil), make([]byte, 512<<10), wait.Patience)
		if err != nil || !strings.Contains(string(answer.Data), `"error"`) {
			t.Errorf("got %s, %v", answer.Data, err)
		}
	})
	t.Run("too many subscriptions", func(t *testing.T) {
		c := s.login(evil)
		for n := range 64 {
			_, err := c.SubscribeSync(fmt.Sprintf("%s.%d", protocol.InboxPrefix(evil), n))
			s.must(err)
		}
		if said := c.refused(t); !strings.Contains(fmt.Sprint(said), "maximum subscriptions exceeded") {
			t.Errorf("the broker says %v", said)
		}
	})
}
