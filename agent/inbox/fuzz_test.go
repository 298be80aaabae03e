package inbox_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"devserver-agent/agent/journal"
	"devserver-agent/protocol"
)

// FuzzReceive merges any bytes: nothing that was not signed is ever accepted,
// and the state directory can still be opened.
func FuzzReceive(f *testing.F) {
	then := time.UnixMilli(1795000000000)
	fixed := task("fuzz", func(t *protocol.Task) {
		t.IssuedAt, t.ExpiresAt = protocol.Millis(then), protocol.Millis(then.Add(protocol.MaxValidity))
	})
	erased := protocol.Cancel{TaskID: "fuzz-2", ServerID: server, ExpiresAt: fixed.ExpiresAt, Reason: "x"}
	genuine := map[string]bool{}
	for _, s := range []any{fixed, erased} {
		genuine[protocol.Digest(seal(f, s))] = true
	}
	f.Add(box(f, fixed, erased))
	f.Add(bytes.Replace(box(f, fixed, 7, nil, "x"), []byte(`"epoch"`), []byte(`"statements":[{}],"Epoch"`), 1))
	f.Add([]byte(`{"server_id":"srv-1","statements":{},"accepted_by":{"fuzz":"other"}}`))
	f.Add([]byte(`{"server_id":"srv-1","statements":[[[[{"payload":1}]]]]} {}`))
	unsigned := seal(f, task("fuzz-3"))
	unsigned.Signatures = nil
	f.Add(box(f, unsigned))
	dir := f.TempDir() // one for all: a new one costs a dozen syncs
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := &bed{t: t, dir: dir, keyring: protocol.Keyring{Keys: []protocol.Trusted{{Key: protocol.KeyOf(trusted)}}}}
		b.open(nil)
		before := len(b.known())
		if err := b.in.Receive(raw, time.Time{}); err != nil {
			t.Fatal(err)
		}
		for _, id := range b.known() {
			view, err := journal.ReadTask(b.dir, id)
			if err != nil {
				t.Fatal(err)
			}
			if !genuine[view.Accept.Digest] {
				t.Errorf("%s was accepted with content that nobody signed: %+v", id, view.Accept)
			}
		}
		if !json.Valid(raw) && len(b.known()) > before {
			t.Error("of what is no JSON something was taken")
		}
		b.close()
		b.open(nil)
	})
}
