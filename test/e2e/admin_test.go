package e2e

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// admin is a connection of somebody who may do everything. It is the caller's to
// close.
func (f *fleet) admin() (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect("nats://"+f.nats, nats.Timeout(wait.Patience))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(wait.Patience))
	return conn, js, err
}

// mailbox is a server's as it is stored.
func (f *fleet) mailbox(server string) ([]byte, error) {
	conn, js, err := f.admin()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(f.t.Context(), wait.Patience)
	defer cancel()
	stream, err := js.Stream(ctx, protocol.MailboxStream)
	if err != nil {
		return nil, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, protocol.MailboxSubject(server))
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// publish sends a message and returns when the broker has it.
func (f *fleet) publish(subject string, data []byte) error {
	conn, _, err := f.admin()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Publish(subject, data); err != nil {
		return err
	}
	return conn.FlushTimeout(wait.Patience)
}
