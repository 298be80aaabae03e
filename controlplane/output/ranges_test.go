package output

import (
	"testing"

	"pgregory.net/rapid"

	"devserver-agent/protocol"
)

// TestRangesAreASetOfBytes compares Ranges with a map of bytes.
func TestRangesAreASetOfBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Ranges
		var set [64]bool
		total := rapid.IntRange(0, 64).Draw(t, "total")
		for range rapid.IntRange(0, 12).Draw(t, "adds") {
			from := rapid.IntRange(0, 63).Draw(t, "from")
			to := rapid.IntRange(0, 64).Draw(t, "to")
			fresh := false
			for i := from; i < to; i++ {
				fresh = fresh || !set[i]
				set[i] = true
			}
			if got := r.Add(Span{int64(from), int64(to)}); got != fresh {
				t.Fatalf("Add(%d, %d) is %v", from, to, got)
			}
		}
		for i := 1; i < len(r.spans); i++ {
			if r.spans[i-1].To >= r.spans[i].From {
				t.Fatalf("spans %v touch", r.spans)
			}
		}
		var missing [64]bool
		for _, s := range r.Missing(int64(total), Span{}) {
			for i := s.From; i < s.To; i++ {
				missing[i] = true
			}
		}
		for i := range 64 {
			if want := i < total && !set[i]; missing[i] != want {
				t.Fatalf("byte %d of %d is missing: %v, spans %v", i, total, missing[i], r.spans)
			}
		}
	})
}

func TestWhatTheHostReleasedIsNotAskedFor(t *testing.T) {
	const total = protocol.OutputHead + 1000 + protocol.OutputTail
	item := protocol.ItemOutput{Bytes: total, Dropped: 1000}
	var seen Ranges
	seen.Add(Span{0, protocol.OutputHead})
	if got := Missing([]protocol.ItemOutput{item}, map[int]*Ranges{0: &seen}); got[0] != protocol.OutputHead+1000 {
		t.Errorf("asked for from %d, the tail begins at %d", got[0], protocol.OutputHead+1000)
	}
	seen.Add(Span{protocol.OutputHead + 1000, total})
	if got := Missing([]protocol.ItemOutput{item}, map[int]*Ranges{0: &seen}); len(got) != 0 {
		t.Errorf("asked for %v", got)
	}
}
