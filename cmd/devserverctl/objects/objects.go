// Package objects puts a folder of HDK packages into a JetStream object store.
//
// It is the one part of devserverctl that speaks NATS, because whoever may
// replace packages that agents run as root must be somebody the broker knows,
// and the control plane's API asks nobody for credentials.
package objects

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/executors/hdk/repository"
)

// Broker says how to reach the broker; empty fields are left out.
type Broker struct {
	URL             string
	CredentialsFile string
	CAFile          string
}

// Push brings a bucket up to date with a folder that has an index: every package
// that is not there with the same bytes, and then the index, so that agents that
// read meanwhile find whatever the index they read names. The bucket is made if
// there is none. Objects that the index does not name are left alone. told is
// told of each file, and whether it was sent.
//
// If it is cut, pushing again goes on with the first file that is not there.
func Push(ctx context.Context, to Broker, bucket string, files fs.FS, told func(name string, sent bool)) error {
	raw, err := fs.ReadFile(files, repository.IndexFile)
	if err != nil {
		return fmt.Errorf("read the index, which hdk index writes: %w", err)
	}
	index, err := repository.ParseIndex(raw)
	if err != nil {
		return err
	}
	conn, err := connect(to)
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	store, err := js.ObjectStore(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		store, err = js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, Description: "HDK packages"})
	}
	if err != nil {
		return fmt.Errorf("object store %s: %w", bucket, err)
	}
	pushed := map[string]bool{}
	for _, release := range index.Releases {
		for _, p := range release.Packages {
			if pushed[p.File] {
				continue
			}
			pushed[p.File] = true
			sent, err := put(ctx, store, files, p)
			if err != nil {
				return fmt.Errorf("push %s: %w", p.File, err)
			}
			told(p.File, sent)
		}
	}
	if _, err := store.PutBytes(ctx, repository.IndexFile, raw); err != nil {
		return fmt.Errorf("push %s: %w", repository.IndexFile, err)
	}
	told(repository.IndexFile, true)
	return nil
}

// put sends a package unless the bucket has it with the index's digest. What was
// sent and is not what the index declares is taken away again.
func put(ctx context.Context, store jetstream.ObjectStore, files fs.FS, p repository.Package) (sent bool, err error) {
	if has, err := store.GetInfo(ctx, p.File); err == nil && has.Digest == digest(p) {
		return false, nil
	} else if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return false, err
	}
	file, err := files.Open(p.File)
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := store.Put(ctx, jetstream.ObjectMeta{Name: p.File}, file)
	if err != nil {
		return false, err
	}
	if info.Digest != digest(p) {
		return false, errors.Join(fmt.Errorf("%w: write the index again", repository.ErrDamaged), store.Delete(ctx, p.File))
	}
	return true, nil
}

// digest is a package's as an object store writes it (ADR-20 of NATS).
func digest(p repository.Package) string {
	raw, err := hex.DecodeString(p.SHA256)
	if err != nil {
		return "" // an index with such a digest was refused
	}
	return "SHA-256=" + base64.URLEncoding.EncodeToString(raw)
}

func connect(to Broker) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name("devserverctl")}
	if to.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(to.CredentialsFile))
	}
	if to.CAFile != "" {
		opts = append(opts, nats.RootCAs(to.CAFile))
	}
	return nats.Connect(to.URL, opts...)
}
