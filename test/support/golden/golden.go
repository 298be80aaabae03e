// Package golden compares what a test got with a file in the tree, for every test
// that has one: what a parser understood, a generated page of docs/, a fuzz seed.
//
// The file says what is right until somebody accepts a change of it: a test that
// runs with -update writes the file, and scripts/generate does so for all of them.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// Compare reports an error if the file at path does not hold got, and how they
// differ. With -update it writes the file first, and its folder.
func Compare[T string | []byte](t testing.TB, path string, got T) {
	t.Helper()
	want, err := os.ReadFile(path)
	if *update && (err != nil || string(want) != string(got)) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		want, err = os.ReadFile(path)
	}
	if err != nil {
		t.Errorf("%v; scripts/generate writes it", err)
	} else if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the code says; scripts/generate accepts what it says now (-file +code):\n%s", path, diff)
	}
}
