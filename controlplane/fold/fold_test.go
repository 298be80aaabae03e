package fold_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/fold"
	"devserver-agent/controlplane/jobs"
	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// A stream that goes while it is read never comes to its end, and nobody else looks at the
// streams meanwhile.
func TestAStreamThatGoesWhileItIsReadIsForgotten(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"deleted": false, "recreated": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Embedded(t)
			// More than the broker has on its way to a reader.
			large := make([]byte, 900<<10)
			for _, server := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
				if _, err := b.JS.Publish(t.Context(), protocol.MailboxSubject(server), large); err != nil {
					t.Fatal(err)
				}
			}
			store, err := jobs.Open(t.Context(), b.JS)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
			defer cancel()
			lost := false
			changed := make(chan struct{})
			err = fold.Run(ctx, fold.Options{
				Conn: b.Conn, JS: b.JS, View: view.New(view.Options{}), Store: store, Heartbeat: time.Second,
				Mailbox: func(string, []byte, uint64) {
					if lost {
						return
					}
					lost = true
					defer close(changed)
					err := b.JS.DeleteStream(ctx, protocol.MailboxStream)
					if again && err == nil {
						_, err = b.Ensure(ctx)
					}
					if err == nil && again {
						_, err = b.JS.Publish(ctx, protocol.MailboxSubject("k"), nil)
					}
					if err != nil {
						t.Error(err)
					}
				},
			})
			if !broker.Forgot(err) {
				t.Errorf("error is %v", err)
			}
			<-changed // it may have been noticed in the middle of it
		})
	}
}

func TestWhatABrokerForgotIsToldFromOtherErrors(t *testing.T) {
	b, err := broker.Open(t.Context(), broker.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, missing := jobs.Open(t.Context(), b.JS)
	err = fold.Run(t.Context(), fold.Options{Conn: b.Conn, JS: b.JS, View: view.New(view.Options{})})
	for _, err := range []error{missing, err, broker.ErrForgot, jetstream.ErrStreamNotFound} {
		if !broker.Forgot(err) {
			t.Errorf("%v is not forgotten", err)
		}
	}
	for _, err := range []error{nil, context.DeadlineExceeded, errors.New("another")} {
		if broker.Forgot(err) {
			t.Errorf("%v is forgotten", err)
		}
	}
}
