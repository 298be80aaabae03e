// Package objects reads HDK packages out of a JetStream object store, for the
// executor that installs them.
//
// It connects for one file and leaves: packages are fetched rarely, and a fleet
// that stayed connected for it would double the broker's connections. An agent's
// permissions do not include the store (docs/decisions.md says what is to be
// granted); without them Open fails with the broker's words. Nothing is written.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

// Options say how to reach the broker; empty fields are left out.
type Options struct {
	ServerID        string // the agent's, for its inbox
	Servers         []string
	CredentialsFile string
	CAFile          string
	CertFile        string
	KeyFile         string
}

// Store is one bucket. It is safe for concurrent use.
type Store struct {
	opts   Options
	bucket string
}

// New names a bucket; nothing is asked of the broker yet.
func New(opts Options, bucket string) (*Store, error) {
	if len(opts.Servers) == 0 {
		return nil, errors.New("object store: no broker is configured")
	}
	if bucket == "" {
		return nil, errors.New("object store: the bucket has no name")
	}
	return &Store{opts: opts, bucket: bucket}, nil
}

// Open reads an object from an offset on. What lies before it is fetched too: an
// object store gives whole objects, and checks their digest at the end.
func (s *Store) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	conn, err := s.connect()
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", s.bucket, err)
	}
	object, err := s.open(ctx, conn, name)
	if err == nil {
		_, err = io.CopyN(io.Discard, object, offset)
	}
	if err != nil {
		if object != nil {
			err = errors.Join(err, object.Close())
		}
		conn.Close()
		if errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
			err = errors.Join(err, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("object %s of store %s: %w", name, s.bucket, err)
	}
	return reader{object, conn}, nil
}

func (s *Store) open(ctx context.Context, conn *nats.Conn, name string) (jetstream.ObjectResult, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	store, err := js.ObjectStore(ctx, s.bucket)
	if err != nil {
		return nil, err
	}
	return store.Get(ctx, name)
}

func (s *Store) connect() (*nats.Conn, error) {
	opts := nats.GetDefaultOptions()
	opts.Servers = s.opts.Servers
	list := []nats.Option{nats.Name("devserver-agent packages"), nats.MaxReconnects(0), nats.CustomInboxPrefix(protocol.InboxPrefix(s.opts.ServerID))}
	if s.opts.CredentialsFile != "" {
		list = append(list, nats.UserCredentials(s.opts.CredentialsFile))
	}
	if s.opts.CAFile != "" {
		list = append(list, nats.RootCAs(s.opts.CAFile))
	}
	if s.opts.CertFile != "" {
		list = append(list, nats.ClientCert(s.opts.CertFile, s.opts.KeyFile))
	}
	for _, option := range list {
		if err := option(&opts); err != nil {
			return nil, err
		}
	}
	return opts.Connect()
}

// reader ends the connection with the object.
type reader struct {
	jetstream.ObjectResult
	conn *nats.Conn
}

func (r reader) Close() error {
	defer r.conn.Close()
	return r.ObjectResult.Close()
}
