package objects_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"devserver-agent/agent/objects"
	"devserver-agent/protocol"
)

// Parts are as long as they should be, and one that differs is sent anew.
func TestPartsOfALongBundle(t *testing.T) {
	broker, js := connected(t)
	ctx := context.Background()
	store, err := js.ObjectStore(ctx, protocol.LogsBucket)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), protocol.PartSize/16*2+1)
	if _, err := store.PutString(ctx, protocol.PartName("b", 1), "something else"); err != nil {
		t.Fatal(err)
	}
	to, err := objects.New(objects.Options{ServerID: "srv-1", Servers: []string{broker.ClientURL()}}, "devserver-logs")
	if err != nil {
		t.Fatal(err)
	}
	var told []int64
	if err := to.Upload(ctx, "b", bytes.NewReader(content), int64(len(content)), func(n int64) { told = append(told, n) }); err != nil {
		t.Fatal(err)
	}
	if want := []int64{protocol.PartSize, 2 * protocol.PartSize, int64(len(content))}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
	var got []byte
	for part := range 3 {
		piece, err := store.GetBytes(ctx, protocol.PartName("b", part))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, piece...)
	}
	info, err := store.GetInfo(ctx, "b")
	if err != nil || info.Metadata[protocol.PartsKey] != "3" || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, %+v, %v", len(got), info, err)
	}
	before, err := store.GetInfo(ctx, protocol.PartName("b", 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Upload(ctx, "b", bytes.NewReader(content), int64(len(content)), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if after, err := store.GetInfo(ctx, protocol.PartName("b", 0)); err != nil || after.NUID != before.NUID {
		t.Errorf("a part was sent again (%v)", err)
	}
}
