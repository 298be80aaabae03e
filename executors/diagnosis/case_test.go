package diagnosis_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"devserver-agent/executors/diagnosis"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// TestWhatRealToolsPrint examines hosts whose tools answer as those of real hosts do,
// with values of our own. Each folder of testdata/cases is named for what it shows:
//
//	model     the model of the fake host
//	want      the checks to run, and then the findings: grade, check, beginning
//	TOOL/     answers: a file is the answer to the arguments that it is named after, with
//	          _ for all but letters and digits, ALL to any other; NAME.rc its exit status
//	root/     files that are laid over the host's
//
// What a case does not say, the fake host's own tools say. What is not wanted must pass.
func TestWhatRealToolsPrint(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("testdata", "cases", "*"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, folder := range folders {
		t.Run(strings.ReplaceAll(filepath.Base(folder), "-", " "), func(t *testing.T) {
			t.Parallel()
			checks, want, _ := strings.Cut(strings.TrimSpace(read(t, filepath.Join(folder, "want"))), "\n")
			fake := fakehost.ForTest(t, fakehost.Model(strings.TrimSpace(read(t, filepath.Join(folder, "model")))), fakehost.Options{})
			play(t, fake, folder)
			d := diagnosis.Diagnosis{Root: fake.Root(), BusyPause: time.Millisecond}
			report, err := d.Examine(t.Context(), hosttest.New(t, fake.Root()), strings.Split(checks, ","), nil)
			if err != nil {
				t.Fatal(err)
			}
			s := symptom{}
			if want != "" {
				s.want = strings.Split(want, "\n")
			}
			s.check(t, report)
			plain(t, report)
			for _, o := range report.Checks {
				if o.Examined == "" {
					t.Errorf("%s does not say what it examined", o.Check)
				}
			}
		})
	}
}

// tools are where a fake host has the tools that a case may answer for.
var tools = map[string][]string{
	"npu-smi":   {"usr/local/sbin/npu-smi", "usr/local/bin/npu-smi"},
	"hccn_tool": {"usr/local/Ascend/driver/tools/hccn_tool", "usr/local/bin/hccn_tool"},
}

// play has the tools of a host give a case's answers, and lays its files over the
// host's.
func play(t *testing.T, fake *fakehost.Host, folder string) {
	t.Helper()
	overlay(t, filepath.Join(folder, "root"), fake.Root())
	for tool, paths := range tools {
		answers, err := filepath.Abs(filepath.Join(folder, tool))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(answers); err != nil {
			continue
		}
		own := ""
		for _, path := range paths {
			path = fake.Path(path)
			if own == "" {
				own = path + ".own"
				err = os.Rename(path, own)
			} else {
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			script := fmt.Sprintf("#!/bin/bash\nname=\"$*\"\nname=${name//[!A-Za-z0-9]/_}\n"+
				"for answer in '%[1]s'/\"$name\" '%[1]s'/ALL; do\n\t[ -e \"$answer\" ] || continue\n"+
				"\tprintf %%s \"$(<\"$answer\")\"\n\techo\n\t[ ! -e \"$answer.rc\" ] || exit \"$(<\"$answer.rc\")\"\n\texit 0\n"+
				"done\nexec '%[2]s' \"$@\"\n", answers, own)
			if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// overlay lays the files and links of a folder, if it is there, over those of a host.
func overlay(t *testing.T, from, root string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if name == from && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		to := filepath.Join(root, rel)
		if err := errors.Join(os.RemoveAll(to), os.MkdirAll(filepath.Dir(to), 0o755)); err != nil {
			return err
		}
		if entry.Type() == fs.ModeSymlink {
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
