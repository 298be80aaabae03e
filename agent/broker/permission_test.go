package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"devserver-agent/agent/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// accounts is a broker as an operator should configure it: the streams in one
// account, the agents in another, with the permissions of the contract and no
// more.
const accounts = `
accounts {
  CONTROL {
    jetstream: enabled
    users: [{user: admin, password: admin}]
    exports: [
      {service: "devserver.v1.status.*"}, {service: "devserver.v1.output.*.*"}, {service: "devserver.v1.facts.*"}
      {service: "devserver.v1.presence.*"}, {service: "devserver.v1.notice.*"}
      {service: "$JS.API.DIRECT.GET.DEVSERVER_MAILBOX.devserver.v1.mailbox.*"}
      {stream: "devserver.v1.push.*"}
    ]
  }
  AGENTS {
    users: [{user: "srv-1", password: "s3cr3t-pass", permissions: {
      publish: ["devserver.v1.status.srv-1", "devserver.v1.output.srv-1.*", "devserver.v1.facts.srv-1",
        "devserver.v1.presence.srv-1", "devserver.v1.notice.srv-1", "devserver.v1.fetch.srv-1"]
      subscribe: ["devserver.v1.push.srv-1", "_INBOX.srv-1.>"]
    }}]
    imports: [
      {service: {account: CONTROL, subject: "devserver.v1.status.*"}}, {service: {account: CONTROL, subject: "devserver.v1.output.*.*"}}
      {service: {account: CONTROL, subject: "devserver.v1.facts.*"}}, {service: {account: CONTROL, subject: "devserver.v1.presence.*"}}
      {service: {account: CONTROL, subject: "devserver.v1.notice.*"}}
      {service: {account: CONTROL, subject: "$JS.API.DIRECT.GET.DEVSERVER_MAILBOX.devserver.v1.mailbox.*"}, to: "devserver.v1.fetch.*"}
      {stream: {account: CONTROL, subject: "devserver.v1.push.*"}}
    ]
  }
}
no_auth_user: admin
`

func restricted(t *testing.T) func(*server.Options) {
	return func(o *server.Options) {
		if err := o.ProcessConfigString(accounts); err != nil {
			t.Error(err)
		}
	}
}

func TestTheListOfPermissionsIsEnoughAndAViolationIsShown(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), restricted(t))
	js := brokertest.JetStream(t, b.ClientURL())
	a := connect(t, broker.Options{Servers: []string{strings.Replace(b.ClientURL(), "://", "://"+id+":s3cr3t-pass@", 1)}})
	settled(t, a)
	put(t, js, protocol.MailboxSubject(id), "box")
	receive(t, "the push", a.pushes)
	if _, _, err := a.Fetch(ask(t)); err != nil {
		t.Error(err)
	}
	for _, subject := range []string{protocol.StatusSubject(id), protocol.OutputSubject(id, "t1"), protocol.FactsSubject(id), protocol.NoticeSubject(id)} {
		if err := a.Publish(ask(t), subject, "", []byte("{}")); err != nil {
			t.Error(err)
		}
	}
	if err := a.Send(protocol.PresenceSubject(id), nil); err != nil {
		t.Error(err)
	}
	if s := a.State(); len(s.Violations) > 0 || s.LastError != "" {
		t.Errorf("within the list: %+v", s)
	}
	for range 2 {
		if err := a.Send(protocol.StatusSubject("srv-2"), nil); err != nil {
			t.Fatal(err)
		}
	}
	wait.For(t, "the violation is shown", func() bool { return len(a.State().Violations) > 0 })
	s := a.State()
	if len(s.Violations) != 1 || !strings.Contains(s.Violations[0], protocol.StatusSubject("srv-2")) || strings.Contains(s.Server, "s3cr3t") {
		t.Errorf("state is %+v", s)
	}
}

func TestCredentialsAreInNoMessage(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), restricted(t))
	address := strings.TrimPrefix(b.ClientURL(), "nats://")
	for name, server := range map[string]string{
		"a wrong password":       "nats://" + id + ":s3cr3t%2Dwrong@" + address,
		"a wrong token":          "nats://s3cr3t-token@" + address,
		"a URL that is none":     "nats://" + id + ":s3cr3t\x7f@" + address,
		"a host that is none":    "nats://" + id + ":s3cr3t@nowhere.invalid:4222",
		"a scheme that is none":  "http://" + id + ":s3cr3t@" + address,
		"nothing but a password": id + ":s3cr3t@" + address,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, logs := observer.New(zap.DebugLevel)
			said := ""
			conn, err := broker.Connect(broker.Options{ServerID: id, Servers: []string{server}, MaxDelay: 10 * time.Millisecond, Log: zap.New(core)})
			if err == nil {
				defer conn.Close()
				wait.For(t, "it is said why there is no connection", func() bool { return conn.State().LastError != "" })
				said = fmt.Sprintf("%+v", conn.State())
				_, _, err = conn.Fetch(ask(t))
			}
			said += err.Error()
			for _, entry := range logs.All() {
				said += fmt.Sprintf("\n%s %v", entry.Message, entry.ContextMap())
			}
			if strings.Contains(said, "s3cr3t") {
				t.Errorf("the secret is in: %s", said)
			}
		})
	}
}
