package step

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

func TestADigestIsThatOfTheFileAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tool")
	var d Digests
	if got := d.Of(path); got != "" {
		t.Errorf("of a file that is not there: %q", got)
	}
	for _, content := range []string{"one", "two", "three"} {
		// Written to another file first: as programs are replaced.
		if err := os.WriteFile(path+".new", []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(content))
		for range 2 {
			if got := d.Of(path); got != hex.EncodeToString(sum[:]) {
				t.Errorf("of %q: %s", content, got)
			}
		}
	}
	if err := os.Truncate(path, maxDigested+1); err != nil {
		t.Fatal(err)
	}
	if got := d.Of(path); got != "" {
		t.Errorf("of a large file: %q", got)
	}
	if got := d.Of(t.TempDir()); got != "" {
		t.Errorf("of a folder: %q", got)
	}
}
