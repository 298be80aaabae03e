package repository_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/executors/hdk/repository"
)

const noHeader = "has no header of a makeself archive: it is cut or not a package"

// TestARunThatIsCutIsNeverListed cuts packages wherever a download may end.
func TestARunThatIsCutIsNeverListed(t *testing.T) {
	name := "Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run"
	real := one(t, anyDriver)
	payload := bytes.Index(real, []byte("\x1f\x8b\x08"))
	handmade := archive(header{label: "x"}, []byte("sealed"))
	old := archive(header{label: "x", old: true}, []byte("sealed"))
	for what, whole := range map[string][]byte{"a package": real, "sealed": handmade, "of an old makeself": old} {
		ends := []int{1, 2, 10, 11, 40, 70, 200, 1000, payload - 1, payload, payload + 1, len(whole) - 1}
		for n := range min(len(whole), 400) {
			ends = append(ends, n)
		}
		for _, end := range ends {
			if end < 0 || end >= len(whole) {
				continue
			}
			if _, err := repository.Said(repository.Run, whole[:end]); !errors.Is(err, repository.ErrDamaged) {
				t.Errorf("%s, cut at %d: %v", what, end, err)
			}
		}
	}
	for what, content := range map[string]string{
		"its first line":     "#!/bin/sh\n",
		"another script":     "#!/bin/sh\nexit 0\n",
		"without a label":    "#!/bin/sh\nCRCsum=\"0\"\nfilesizes=\"1\"\nskip=\"4\"\nx",
		"without a checksum": "#!/bin/sh\nlabel=\"x\"\nfilesizes=\"1\"\nskip=\"4\"\nx",
		"without sizes":      "#!/bin/sh\nlabel=\"x\"\nCRCsum=\"0\"\nskip=\"4\"\nx",
		"cut in its header":  "#!/bin/sh\n# This script was generated using Makeself 2.4.0\nCRCsum=\"0\"\nlab",
	} {
		dir := t.TempDir()
		path := put(t, dir, name, []byte(content))
		files, notes := scan(t, dir)
		if want := name + ": left out: " + noHeader + "; download it again"; len(files) > 0 || len(notes) != 1 || notes[0] != want {
			t.Errorf("%s: got %q, %q", what, files, notes)
		}
		if err := repository.Examine(t.Context(), path, repository.Package{File: filepath.Base(path)}); !errors.Is(err, repository.ErrDamaged) {
			t.Errorf("%s: examined: %v", what, err)
		}
	}
}

func TestAnArchiveThatCannotBeReadIsListedByItsNameWithTheCause(t *testing.T) {
	large := bytes.Replace(sealed(), []byte("filesizes="), []byte("licensetxt=\""+strings.Repeat("You may.\n", 200_000)+"\"\nfilesizes="), 1)
	for name, c := range map[string]struct {
		content []byte
		cause   string
	}{
		"sealed":         {sealed(), "it is packed in a way that is not known"},
		"a large header": {large, "its header is too large to be read"},
	} {
		dir := t.TempDir()
		path := put(t, dir, "Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run", c.content)
		file := filepath.Base(path)
		put(t, dir, "setup.run", c.content)
		files, notes := scan(t, dir)
		want := []string{
			fmt.Sprintf("%s: has no version.info that can be read: %s; it is listed by its name, without ranges", file, c.cause),
			fmt.Sprintf(`setup.run: left out: "setup.run" is not named as an HDK package, and has no version.info that can be read: %s; give it its name back`, c.cause),
		}
		if len(files) != 1 || strings.Join(notes, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: got %q, %q", name, files, notes)
		}
		if err := repository.Examine(t.Context(), path, repository.Package{File: file}); err != nil {
			t.Errorf("%s: examined: %v", name, err)
		}
	}
}
