package objects

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

// Upload puts content under a name, in parts of protocol.PartSize bytes that are
// objects NAME.000, NAME.001 and so on, and then NAME itself, which is empty and says
// in its metadata how many parts there are. So whoever finds NAME finds all of it, and
// an upload that was cut goes on with the first part that is not there with the same
// bytes. told is told how many bytes are there.
func (s *Store) Upload(ctx context.Context, name string, content io.ReaderAt, size int64, told func(sent int64)) error {
	conn, err := s.connect()
	if err != nil {
		return fmt.Errorf("object store %s: %w", s.bucket, err)
	}
	defer conn.Close()
	if err := s.upload(ctx, conn, name, content, size, told); err != nil {
		return fmt.Errorf("object %s of store %s: %w", name, s.bucket, err)
	}
	return nil
}

func (s *Store) upload(ctx context.Context, conn *nats.Conn, name string, content io.ReaderAt, size int64, told func(int64)) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	store, err := js.ObjectStore(ctx, s.bucket)
	if err != nil {
		return err
	}
	parts := 0
	for at := int64(0); at < size; at += protocol.PartSize {
		part := io.NewSectionReader(content, at, min(protocol.PartSize, size-at))
		if err := putPart(ctx, store, protocol.PartName(name, parts), part); err != nil {
			return err
		}
		parts++
		told(min(at+protocol.PartSize, size))
	}
	_, err = store.Put(ctx, jetstream.ObjectMeta{Name: name, Metadata: map[string]string{
		protocol.PartsKey: strconv.Itoa(parts), protocol.SizeKey: strconv.FormatInt(size, 10),
	}}, emptyReader{})
	return err
}

// putPart sends a part unless it is there with the same digest (ADR-20 of NATS).
func putPart(ctx context.Context, store jetstream.ObjectStore, name string, part *io.SectionReader) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, part); err != nil {
		return err
	}
	digest := "SHA-256=" + base64.URLEncoding.EncodeToString(sum.Sum(nil))
	has, err := store.GetInfo(ctx, name)
	switch {
	case err == nil && has.Digest == digest:
		return nil
	case err != nil && !errors.Is(err, jetstream.ErrObjectNotFound):
		return err
	}
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	info, err := store.Put(ctx, jetstream.ObjectMeta{Name: name}, part)
	if err == nil && info.Digest != digest {
		err = errors.New("the file changed while it was sent")
	}
	return err
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, io.EOF }
