package repository

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAFileThatWasReplacedIsNotOpened puts other things in the place of a file between
// the walk and the reading.
func TestAFileThatWasReplacedIsNotOpened(t *testing.T) {
	for how, replace := range map[string]func(path string) error{
		"a pipe":       func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link":       func(path string) error { return os.Symlink("other.run", path) },
		"another file": func(path string) error { return os.WriteFile(path, []byte("#!"), 0o600) },
		"a folder":     func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		path := filepath.Join(dir, "x.run")
		for _, name := range []string{path, filepath.Join(dir, "other.run")} {
			if err := os.WriteFile(name, []byte("#!"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w := walk{root: root}
		if err := w.folder(".", nil); err != nil || len(w.files) != 2 {
			t.Fatalf("%d files, %v", len(w.files), err)
		}
		before := w.files[0]
		if before.name != "x.run" {
			before = w.files[1]
		}
		if err := os.Rename(path, filepath.Join(dir, "kept")); err != nil {
			t.Fatal(err)
		}
		if err := replace(path); err != nil {
			t.Fatal(err)
		}
		if file, err := open(root, before); err == nil || !strings.Contains(err.Error(), "another file took its place") {
			t.Errorf("%s: opened %v, %v", how, file, err)
		}
	}
}

// A file that grows while it is read is not damaged: it is still being copied.
func TestAFileThatGrowsIsNotCalledDamaged(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	name := "Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run"
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := walk{root: root}
	if err := w.folder(".", nil); err != nil || len(w.files) != 1 {
		t.Fatalf("%d files, %v", len(w.files), err)
	}
	if _, err := file.WriteString("#!/bin/sh\n"); err != nil {
		t.Fatal(err)
	}
	if p, note := describe(t.Context(), root, w.files[0]); p.File != "" || !strings.Contains(note, "it was changed while it was read") {
		t.Errorf("%+v: %s", p, note)
	}
}

func TestAFolderWithTooManyFilesIsNoRepository(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"sub/a.run", "sub/b.run"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for before, want := range map[int]bool{maxWalked - 3: true, maxWalked - 2: false} {
		w := walk{root: root, seen: before}
		if err := w.folder(".", nil); (err == nil) != want {
			t.Errorf("after %d files: %v", before, err)
		}
	}
}

func TestAFolderThatWasReplacedIsNotWalked(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"a", "b"} {
		if err := root.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	info, err := root.Lstat("a")
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Rename("a", "c"); err != nil {
		t.Fatal(err)
	}
	if err := root.Symlink("b", "a"); err != nil {
		t.Fatal(err)
	}
	w := walk{root: root}
	if err := w.subfolder("a", info); err != nil || len(w.notes) != 1 || !strings.Contains(w.notes[0], "another file took its place") {
		t.Errorf("%q, %v", w.notes, err)
	}
}
