package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

func openBroker(t *testing.T) *Broker {
	t.Helper()
	b, err := Open(t.Context(), Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:4222": true, "localhost:0": true, "[::1]:1": true, "127.8.8.8:1": true,
		"0.0.0.0:4222": false, ":4222": false, "192.0.2.1:4222": false, "example.org:1": false,
	} {
		_, _, err := CheckLoopback(addr)
		if ok != (err == nil) || !ok && !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"} {
		if _, _, err := CheckLoopback(addr); err == nil {
			t.Errorf("%q is taken for an address", addr)
		}
	}
	if _, err := Open(t.Context(), Options{DataDir: t.TempDir(), Listen: "0.0.0.0:0"}); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("a broker for everybody: %v", err)
	}
}

func TestWithoutAConfigurationNothingIsReadAgain(t *testing.T) {
	if err := openBroker(t).Reload(); !errors.Is(err, ErrNoConfig) {
		t.Errorf("it says %v", err)
	}
}

func TestStreamsAreThoseOfTheContract(t *testing.T) {
	b := openBroker(t)
	epoch, err := b.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{protocol.MailboxStream, protocol.StatusStream, protocol.OutputStream, protocol.FactsStream, protocol.NoticeStream} {
		stream, err := b.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		c := stream.CachedInfo().Config
		if c.Storage != jetstream.FileStorage || c.AllowRollup || c.AllowMsgTTL || c.AllowMsgSchedules || c.AllowAtomicPublish {
			t.Errorf("%s is %+v", name, c)
		}
		switch name {
		case protocol.MailboxStream:
			if c.MaxMsgsPerSubject != 1 || !c.AllowDirect || c.RePublish == nil {
				t.Errorf("%s is %+v", name, c)
			}
		case protocol.StatusStream:
			if c.Discard != jetstream.DiscardNew || c.MaxAge < protocol.MaxValidity {
				t.Errorf("%s is %+v", name, c)
			}
		case protocol.OutputStream:
			if c.Discard != jetstream.DiscardNew || c.Compression != jetstream.S2Compression || c.PersistMode != jetstream.AsyncPersistMode || c.MaxBytes <= 0 || c.MaxAge <= 0 {
				t.Errorf("%s is %+v", name, c)
			}
		case protocol.FactsStream:
			if c.MaxMsgsPerSubject != 1 {
				t.Errorf("%s is %+v", name, c)
			}
		}
	}
	again, err := b.Ensure(t.Context())
	if err != nil || again.ID != epoch.ID {
		t.Errorf("a second Ensure is epoch %s, was %s: %v", again.ID, epoch.ID, err)
	}
}

func TestAnAgentCannotRemoveWhatOthersSaid(t *testing.T) {
	b := openBroker(t)
	if _, err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.Publish(t.Context(), protocol.FactsSubject("a"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, header := range []nats.Header{{"Nats-Rollup": {"all"}}, {"Nats-TTL": {"1s"}}} {
		msg := &nats.Msg{Subject: protocol.FactsSubject("b"), Header: header, Data: []byte("{}")}
		if _, err := b.JS.PublishMsg(t.Context(), msg); err == nil {
			t.Errorf("%v was taken", header)
		}
	}
	stream, err := b.JS.Stream(t.Context(), protocol.FactsStream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.GetLastMsgForSubject(t.Context(), protocol.FactsSubject("a")); err != nil {
		t.Errorf("facts of another server are gone: %v", err)
	}
}

func TestAMailboxIsPushedAndFetched(t *testing.T) {
	b := openBroker(t)
	if _, err := b.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.CheckMapping(t.Context()); err != nil {
		t.Fatal(err)
	}
	agent, err := nats.Connect(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	push, err := agent.SubscribeSync(protocol.PushSubject("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.Publish(t.Context(), protocol.MailboxSubject("a"), []byte("box")); err != nil {
		t.Fatal(err)
	}
	if msg, err := push.NextMsg(5 * time.Second); err != nil || string(msg.Data) != "box" {
		t.Errorf("pushed: %v %v", msg, err)
	}
	if msg, err := agent.Request(protocol.FetchSubject("a"), nil, 5*time.Second); err != nil || string(msg.Data) != "box" {
		t.Errorf("fetched: %v %v", msg, err)
	}
	if msg, err := agent.Request(protocol.FetchSubject("b"), nil, 5*time.Second); err != nil || msg.Header.Get("Status") != "404" {
		t.Errorf("fetched what is not there: %v %v", msg, err)
	}
}

func TestDeletedStreamsAreNoticed(t *testing.T) {
	for name, change := range map[string]func(context.Context, *Broker) error{
		"deleted": func(ctx context.Context, b *Broker) error { return b.JS.DeleteStream(ctx, protocol.StatusStream) },
		"made anew": func(ctx context.Context, b *Broker) error {
			if err := b.JS.DeleteStream(ctx, protocol.MailboxStream); err != nil {
				return err
			}
			_, err := b.Ensure(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBroker(t)
			epoch, err := b.Ensure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			noticed := make(chan error, 1)
			go func() { noticed <- b.Watch(t.Context(), epoch, time.Millisecond) }()
			if err := change(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if err := <-noticed; !errors.Is(err, ErrForgot) {
				t.Errorf("error is %v", err)
			}
			if again, err := b.Ensure(t.Context()); err != nil || again.ID == epoch.ID {
				t.Errorf("epoch is %s again: %v", again.ID, err)
			}
		})
	}
}
