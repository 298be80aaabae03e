package broker

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"devserver-agent/protocol"
)

// CheckMapping asks for a mailbox the way agents do. The broker must answer,
// also that there is none; otherwise the error says what to configure. ErrForgot: the
// mailbox stream is missing.
func (b *Broker) CheckMapping(parent context.Context) error {
	ctx, cancel := context.WithTimeout(parent, cmp.Or(b.opts.ProbeTimeout, 10*time.Second))
	defer cancel()
	for {
		var reply *nats.Msg
		err := b.WhileConnected(ctx, func(ctx context.Context) (err error) {
			reply, err = b.Conn.RequestWithContext(ctx, protocol.FetchSubject("mapping-probe"), nil)
			return err
		})
		if err == nil && (reply.Header.Get("Status") == "404" || len(reply.Data) > 0) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("answer %s %s", reply.Header.Get("Status"), reply.Header.Get("Description"))
		}
		select {
		case <-ctx.Done():
			if _, gone := b.JS.Stream(parent, protocol.MailboxStream); Forgot(gone) {
				return fmt.Errorf("%w: %w", ErrForgot, gone)
			}
			return b.explainMapping(err)
		case <-time.After(100 * time.Millisecond): // a new stream answers after its leader is chosen
		}
	}
}

func (b *Broker) explainMapping(err error) error {
	from, to := protocol.FetchMapping()
	if !Away(err) || !b.Conn.IsConnected() {
		return fmt.Errorf("ask for a mailbox: %w", err)
	}
	return fmt.Errorf("agents could not read their mailboxes from this NATS: nothing answers %s (%v). "+
		"Add to the configuration of its servers, in the account the agents use, and reload it:\n"+
		"mappings {\n  %q: %q\n}", from, err, from, to)
}
