package objects_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/agent/objects"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// connected is a broker and what speaks to its JetStream.
func connected(t *testing.T) (*brokertest.Broker, jetstream.JetStream) {
	t.Helper()
	broker, err := brokertest.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	js := brokertest.JetStream(t, broker.ClientURL())
	return broker, js
}

func TestObjectsAreReadFromAnOffset(t *testing.T) {
	broker, js := connected(t)
	ctx := context.Background()
	store, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "hdk"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutString(ctx, "24/a.run", "0123456789"); err != nil {
		t.Fatal(err)
	}
	reader, err := objects.New(objects.Options{ServerID: "srv-1", Servers: []string{broker.ClientURL()}}, "hdk")
	if err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[int64]string{0: "0123456789", 4: "456789", 10: ""} {
		object, err := reader.Open(ctx, "24/a.run", offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(object)
		if err != nil || string(got) != want {
			t.Errorf("from %d: %q, %v", offset, got, err)
		}
		if err := object.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := reader.Open(ctx, "b.run", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an object that is not there: %v", err)
	}
	wait.Until(t, "no connection but the test's own is left", func() error {
		if n := broker.NumClients(); n > 1 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

func TestAStoreNeedsABrokerAndAName(t *testing.T) {
	if _, err := objects.New(objects.Options{}, "hdk"); err == nil {
		t.Error("no broker")
	}
	if _, err := objects.New(objects.Options{Servers: []string{"nats://127.0.0.1:1"}}, ""); err == nil {
		t.Error("no bucket")
	}
	store, err := objects.New(objects.Options{Servers: []string{"nats://127.0.0.1:1"}}, "hdk")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(context.Background(), "a.run", 0); err == nil {
		t.Error("nobody is there")
	}
}
