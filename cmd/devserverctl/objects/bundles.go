package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

// Bundle is one bundle of logs in an object store.
type Bundle struct {
	Name string    `json:"name"`
	Size int64     `json:"size"` // bytes
	At   time.Time `json:"at"`

	parts int
}

// Bundles lists the bundles of a bucket that came to their end, in the store's order.
// A bucket that is not there has none.
func Bundles(ctx context.Context, from Broker, bucket string) ([]Bundle, error) {
	store, conn, err := open(ctx, from, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	objects, err := store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", bucket, err)
	}
	var found []Bundle
	for _, o := range objects {
		if b, is := bundle(o); is {
			found = append(found, b)
		}
	}
	return found, nil
}

func bundle(o *jetstream.ObjectInfo) (Bundle, bool) {
	parts, err := strconv.Atoi(o.Metadata[protocol.PartsKey])
	size, sizeErr := strconv.ParseInt(o.Metadata[protocol.SizeKey], 10, 64)
	return Bundle{Name: o.Name, Size: size, At: o.ModTime, parts: parts}, err == nil && sizeErr == nil && parts >= 0
}

// Fetch writes a bundle to out. told is told how many bytes of how many came. The
// store checks the digest of each part.
func Fetch(ctx context.Context, from Broker, bucket, name string, out io.Writer, told func(got, of int64)) error {
	store, conn, err := open(ctx, from, bucket)
	if err != nil {
		return err
	}
	defer conn.Close()
	info, err := store.GetInfo(ctx, name)
	if err != nil {
		return fmt.Errorf("bundle %s of object store %s: %w", name, bucket, err)
	}
	b, is := bundle(info)
	if !is {
		return fmt.Errorf("object %s of store %s is no bundle of logs", name, bucket)
	}
	var got int64
	for part := range b.parts {
		n, err := fetchPart(ctx, store, protocol.PartName(name, part), out)
		if err != nil {
			return fmt.Errorf("part %d of %s: %w", part, name, err)
		}
		got += n
		told(got, b.Size)
	}
	if got != b.Size {
		return fmt.Errorf("bundle %s has %d bytes, not %d: somebody writes it anew", name, got, b.Size)
	}
	return nil
}

func fetchPart(ctx context.Context, store jetstream.ObjectStore, name string, out io.Writer) (int64, error) {
	object, err := store.Get(ctx, name)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, object)
	return n, errors.Join(err, object.Error(), object.Close())
}

func open(ctx context.Context, from Broker, bucket string) (jetstream.ObjectStore, *nats.Conn, error) {
	conn, err := connect(from)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the broker: %w", err)
	}
	js, err := jetstream.New(conn)
	if err == nil {
		var store jetstream.ObjectStore
		if store, err = js.ObjectStore(ctx, bucket); err == nil {
			return store, conn, nil
		}
	}
	conn.Close()
	return nil, nil, fmt.Errorf("object store %s: %w", bucket, err)
}
