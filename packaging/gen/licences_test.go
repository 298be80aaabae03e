package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Beginnings of what stands in licence files.
const (
	mit  = "The MIT License\n\nCopyright (c) A\n\nPermission is hereby granted, free of charge, to any\nperson obtaining a copy of this software ...\n"
	gpl  = "                    GNU GENERAL PUBLIC LICENSE\n                       Version 3, 29 June 2007\n"
	lgpl = "This library is under the GNU Lesser General\nPublic License.\n"
)

// collect runs licences over modules that hold the given files; what is linked of each
// is its package part/deep.
func collect(t *testing.T, modules ...map[string]string) (string, error) {
	t.Helper()
	var lines bytes.Buffer
	for i, files := range modules {
		root := t.TempDir()
		for name, text := range files {
			if err := write(filepath.Join(root, name), []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&lines, "example.com/m%d v1.0.%d %s %s\n", i, i, root, filepath.Join(root, "part", "deep"))
	}
	dir := t.TempDir()
	err := licences(dir, &lines)
	text, readErr := os.ReadFile(filepath.Join(dir, "LICENCES"))
	if err == nil && readErr != nil {
		t.Fatal(readErr)
	}
	return string(text), err
}

func TestLicencesOfAllModulesAreThereOnce(t *testing.T) {
	text, err := collect(t,
		map[string]string{"LICENSE": mit},
		map[string]string{"LICENSE.txt": mit, "NOTICE": "A product of A.\n"},
		map[string]string{"COPYING": mit, "part/LICENSE.txt": "Copyright (c) B\n\n" + mit, "other/LICENSE": gpl},
	)
	if err != nil {
		t.Fatal(err)
	}
	for part, times := range map[string]int{
		"example.com/m0 v1.0.0\nexample.com/m2 v1.0.2\n": 1, "example.com/m1 v1.0.1\n": 1,
		"example.com/m2/part v1.0.2\n": 1, "Copyright (c) B": 1, "Permission is hereby granted": 3, "A product of A.": 1,
	} {
		if got := strings.Count(text, part); got != times {
			t.Errorf("%q is there %d times, want %d:\n%s", part, got, times, text)
		}
	}
}

func TestModulesThatMayNotBeLinked(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"without a licence":                      {"README": "free"},
		"with a notice only":                     {"NOTICE": "A product of A.\n"},
		"under the GPL":                          {"COPYING": gpl},
		"with a part under the LGPL":             {"LICENSE": mit + lgpl},
		"with a second file under the GPL":       {"LICENSE": mit, "LICENSE.extras": gpl},
		"under terms that nobody has looked at":  {"LICENSE": "Ask A before you use it.\n"},
		"with a permissive file and unknown one": {"LICENSE": mit, "LICENSE.assets": "Ask A.\n"},
		"with a package under the GPL":           {"LICENSE": mit, "part/deep/COPYING": gpl},
		"with a licence of its parts only":       {"part/LICENSE": mit},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := collect(t, map[string]string{"LICENSE": mit}, files); err == nil || !strings.Contains(err.Error(), "example.com/m1") {
				t.Errorf("error %v, wrote %q", err, text)
			}
		})
	}
}

// What is linked today may be linked: scripts/package asks the same.
func TestEveryModuleThatIsLinkedMayBe(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}} {{$.Dir}}{{end}}{{end}}", "../../cmd/...")
	list.Stderr = os.Stderr
	modules, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(modules, []byte("\n")); n < 50 {
		t.Fatalf("go list found only %d packages", n)
	}
	if err := licences(t.TempDir(), bytes.NewReader(modules)); err != nil {
		t.Error(err)
	}
}
