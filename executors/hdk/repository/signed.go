package repository

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"devserver-agent/protocol"
)

// SignedIndexFile is the name of the index in a repository whose index is signed: an
// envelope as statements have it, with the bytes of the index in it.
const SignedIndexFile = "index.signed.json"

// IndexPayload is what such an envelope says of its content.
const IndexPayload = "application/vnd.devserver.hdk-index.v1+json"

// ErrNotSigned says that an index is signed by nobody who is trusted.
var ErrNotSigned = errors.New("is not signed with a key of hdk.index_keys")

// Signed is a repository of which only a signed index counts. What the index says of
// packages, their digests above all, is then as good as the key; who only serves the
// files can at most bring back an index that was signed once.
type Signed struct {
	Source
	Keys []protocol.Key
}

// Open implements Source: the index is the one in SignedIndexFile, once its signature
// was found good.
func (s Signed) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if name != IndexFile {
		return s.Source.Open(ctx, name, offset)
	}
	file, err := s.Source.Open(ctx, SignedIndexFile, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refusal{fmt.Errorf("%w: there is no %s", ErrNotSigned, SignedIndexFile)}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const most = MaxIndex*4/3 + 64<<10 // base64, and what is around it
	raw, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return nil, err
	}
	index, err := s.verified(raw)
	if err != nil {
		return nil, refusal{fmt.Errorf("%s %w", SignedIndexFile, err)}
	}
	return io.NopCloser(bytes.NewReader(index[min(offset, int64(len(index))):])), nil
}

func (s Signed) verified(raw []byte) ([]byte, error) {
	var e protocol.Envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("is not an envelope: %w", err)
	}
	index, err := e.Content()
	if err != nil || e.PayloadType != IndexPayload {
		return nil, fmt.Errorf("is an envelope of %.80q and not of an index", e.PayloadType)
	}
	for _, key := range s.Keys {
		if good, _ := e.SignedBy(key, index); good {
			return index, nil
		}
	}
	return nil, ErrNotSigned
}

// SignIndex makes the content of SignedIndexFile of an index.
func SignIndex(private ed25519.PrivateKey, index []byte) ([]byte, error) {
	return json.Marshal(protocol.Sign(private, IndexPayload, index))
}
