package step

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors"
)

func TestToolsAreFoundWhereTheHostHasThem(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"usr/local/bin/npu-smi": 0o755, "usr/bin/npu-smi": 0o755,
		"usr/local/Ascend/driver/tools/upgrade-tool": 0o755,
		"usr/sbin/plain": 0o644, "bin/plain": 0o755,
		"usr/bin/only-plain": 0o644,
		"sbin/folder/file":   0o755,
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, mode)); err != nil {
			t.Fatal(err)
		}
	}
	tools := Tools{Root: root, Paths: map[string]string{"hccn_tool": "/opt/hccn_tool", "empty": ""}}
	for name, want := range map[string]string{
		"npu-smi":      filepath.Join(root, "usr/local/bin/npu-smi"),
		"upgrade-tool": filepath.Join(root, "usr/local/Ascend/driver/tools/upgrade-tool"),
		"plain":        filepath.Join(root, "bin/plain"),
		"hccn_tool":    "/opt/hccn_tool",
		"/any/path":    "/any/path",
		"only-plain":   "", "folder": "", "missing": "", "empty": "",
	} {
		got, err := tools.Find(name)
		if got != want || want == "" && !errors.Is(err, executors.ErrNotFound) {
			t.Errorf("Find(%q) gave %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestProgramsGetNothingOfTheAgentsEnvironmentButLibraries(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "secret")
	t.Setenv("LD_LIBRARY_PATH", "/usr/local/Ascend/driver/lib64")
	want := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/Ascend/driver/tools:/usr/local/Ascend/toolbox/latest/Ascend-DMI/bin",
		"LC_ALL=C", "HOME=/root", "LD_LIBRARY_PATH=/usr/local/Ascend/driver/lib64",
	}
	if diff := cmp.Diff(want, Tools{}.Environ()); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	t.Setenv("LD_LIBRARY_PATH", "")
	elsewhere := Tools{Root: "/host"}.Environ()
	if len(elsewhere) != 3 || filepath.Base(elsewhere[0]) != "bin" {
		t.Errorf("under another root it is %q", elsewhere)
	}
}

func TestQueriesOfASimulatedHostArePlayed(t *testing.T) {
	var asked []string
	tools := Tools{Root: t.TempDir(), Play: func(_ context.Context, argv []string) (executors.Reply, error) {
		asked = argv
		return executors.Reply{Code: 3}, nil
	}}
	reply, err := tools.Query(t.Context(), "npu-smi", "info", "-l")
	if err != nil || reply.Code != 3 || strings.Join(asked, " ") != "npu-smi info -l" {
		t.Errorf("asked for %q it answered %+v, %v", asked, reply, err)
	}
	tools.Play = nil
	if _, err := tools.Query(t.Context(), "npu-smi", "info", "-l"); !errors.Is(err, executors.ErrNotFound) {
		t.Errorf("a host without the tool answered %v", err)
	}
}
