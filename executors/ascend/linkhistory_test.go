package ascend

import (
	"testing"
	"time"
)

func TestLinkHistory(t *testing.T) {
	testSamples(t, "linkhistory", ParseLinkHistory, func(h LinkHistory) map[string]any {
		burst, last := h.Burst(time.Hour, 24*time.Hour)
		return map[string]any{"lost": h.Lost(), "burst": burst, "last of it": last, "undated": h.Undated(24 * time.Hour)}
	})
}

func FuzzLinkHistory(f *testing.F) {
	seeds(f, "linkhistory")
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseLinkHistory(data)
		if err != nil {
			return
		}
		hour, _ := h.Burst(time.Hour, 24*time.Hour)
		day, _ := h.Burst(24*time.Hour, 24*time.Hour)
		if len(h.Changes) > maxChanges || hour > day || day > len(h.Changes) {
			t.Errorf("took %+v", h)
		}
		carried(t, h)
	})
}
