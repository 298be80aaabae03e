package golden

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// caller is a test that calls Compare: what it was told is kept.
type caller struct {
	testing.TB
	told []string
}

func (c *caller) Helper() {}
func (c *caller) Errorf(format string, args ...any) {
	c.told = append(c.told, fmt.Sprintf(format, args...))
}

// compare calls Compare as a test does that runs with or without -update.
func compare(t *testing.T, path, got string, updating bool) []string {
	t.Helper()
	before := *update
	*update = updating
	defer func() { *update = before }()
	c := &caller{TB: t}
	Compare(c, path, got)
	return c.told
}

func TestAFileThatDiffersIsReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.golden")
	if err := os.WriteFile(path, []byte("one\ntwo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if told := compare(t, path, "one\ntwo\n", false); told != nil {
		t.Errorf("the same text is reported: %q", told)
	}
	told := strings.Join(compare(t, path, "one\nthree\n", false), "")
	for _, want := range []string{path, "two", "three", "scripts/generate"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in %q", want, told)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "one\ntwo\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestAFileThatIsMissingIsReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.golden")
	if told := strings.Join(compare(t, path, "one\n", false), ""); !strings.Contains(told, path) || !strings.Contains(told, "scripts/generate") {
		t.Errorf("told %q", told)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the file was written without -update")
	}
}

func TestAnUpdateWritesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "new", "a.golden")
	for _, text := range []string{"one\n", "two\n", ""} {
		if told := compare(t, path, text, true); told != nil {
			t.Errorf("told %q", told)
		}
		if told := compare(t, path, text, false); told != nil {
			t.Errorf("after the update: told %q", told)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("the file holds %q, %v; want %q", got, err, text)
		}
	}
}

// scripts/generate finds a package by its import of this one, so a package with a
// flag of its own would be left out.
func TestNoOtherPackageHasSuchAFlag(t *testing.T) {
	own, files := regexp.MustCompile(`flag\.Bool(Var)?\(.*"update"`), 0
	err := filepath.WalkDir("../../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err == nil && entry.IsDir() && slices.Contains([]string{".git", "bin", "dist"}, entry.Name()): // they change under way
			return filepath.SkipDir
		case err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return err
		}
		files++
		text, err := os.ReadFile(path)
		if own.Match(text) {
			t.Errorf("%s has a flag -update: compare with golden.Compare", path)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("read %d files, %v", files, err)
	}
}
