package repository_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

func TestOnlyASignedIndexCounts(t *testing.T) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("o", ed25519.SeedSize)))
	sign := func(by ed25519.PrivateKey, index string) []byte {
		raw, err := repository.SignIndex(by, []byte(index))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	const index, evil = `{"releases":[{"version":"24.1.0"}]}`, `{"releases":[{"version":"66.6.6"}]}`
	var envelope protocol.Envelope
	if err := json.Unmarshal(sign(key, index), &envelope); err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*protocol.Envelope)) []byte {
		e := envelope
		change(&e)
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, c := range map[string]struct {
		signed []byte // nil: there is none
		good   bool
	}{
		"signed":               {sign(key, index), true},
		"not signed":           {nil, false},
		"signed by another":    {sign(other, evil), false},
		"signed by nobody":     {changed(func(e *protocol.Envelope) { e.Signatures = nil }), false},
		"another index inside": {changed(func(e *protocol.Envelope) { e.Payload = protocol.Sign(nil, "", []byte(evil)).Payload }), false},
		"of another type":      {changed(func(e *protocol.Envelope) { e.PayloadType = protocol.TaskPayload }), false},
		"no envelope":          {[]byte(index), false},
		"no JSON":              {[]byte("{"), false},
		"a task with the same key": {func() []byte {
			raw, err := json.Marshal(protocol.Sign(key, protocol.TaskPayload, []byte(index)))
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}(), false},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string][]byte{repository.IndexFile: []byte(evil)}
			if c.signed != nil {
				files[repository.SignedIndexFile] = c.signed
			}
			source := repository.Signed{Source: folder(t, files), Keys: []protocol.Key{protocol.KeyOf(key)}}
			got, err := cache(t).Index(context.Background(), source)
			if c.good {
				if err != nil || len(got.Releases) != 1 || got.Releases[0].Version != "24.1.0" {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("it was taken: %+v", got)
			}
			if c.signed == nil && !errors.Is(err, repository.ErrNotSigned) {
				t.Error(err)
			}
		})
	}
}

// Packages are read as they are: what they must be is in the index.
func TestASignedRepositoryGivesItsPackages(t *testing.T) {
	data, p := content("a.run", 1000)
	source := repository.Signed{Source: folder(t, map[string][]byte{"a.run": data})}
	if _, err := cache(t).Fetch(context.Background(), source, p, t.TempDir(), nil); err != nil {
		t.Error(err)
	}
}
