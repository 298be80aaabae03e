package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/test/fakehost"
)

// fake runs the command and returns its output; it must succeed.
func fake(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := exec.Command(fakehost.Binary(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("fakehost %s: %v\n%s", strings.Join(args, " "), err, problems.String())
	}
	return out.String()
}

func TestAHostsLifeFromTheCommandLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's a host")
	fake(t, "create", "--model", "A3", "--dir", dir, "--server-id", "s1", "--pace", "0s")
	fake(t, "fault", "set", "--dir", dir, "card_alarm", "card=4", "health=Critical")

	out, err := exec.Command(filepath.Join(dir, "root/usr/local/sbin/npu-smi"), "info", "-t", "health", "-i", "4").Output()
	if err != nil || !bytes.Contains(out, []byte(": Critical\n")) {
		t.Errorf("npu-smi: %v\n%s", err, out)
	}
	fake(t, "reboot", "--dir", dir)
	fake(t, "fault", "clear", "--dir", dir, "card_alarm")

	var s fakehost.State
	if err := json.Unmarshal([]byte(fake(t, "show", "--json", "--dir", dir)), &s); err != nil {
		t.Fatal(err)
	}
	if s.Model != fakehost.A3 || s.ServerID != "s1" || s.Boots != 2 || len(s.Faults) != 0 {
		t.Errorf("the state is %+v", s)
	}
	var kinds []string
	for line := range strings.Lines(fake(t, "events", "--json", "--dir", dir)) {
		var e fakehost.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind+" "+e.Name)
	}
	want := "fault card_alarm|start npu-smi|end npu-smi|power boot|fault card_alarm"
	if got := strings.Join(kinds, "|"); got != want {
		t.Errorf("the journal is %s, want %s", got, want)
	}
}

func TestPackagesWritesEachFileOfAModelOnce(t *testing.T) {
	dir := t.TempDir()
	lines := strings.Count(fake(t, "packages", "--model", "310B", "--out", dir, "--arch", "aarch64"), "\n")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 || lines != 4 {
		t.Errorf("%d lines for %d packages (%v), want 4 of two releases", lines, len(entries), err)
	}
}

func TestMistakesAreErrors(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{
		"", "nonsense", "create", "show --dir " + dir, "fault", "fault set --dir " + dir, "reboot", "packages",
		"packages --out " + dir + " --model A9", "tool npu-smi", "script", "script " + dir, "script main.go", "boot --dir " + dir, "create --dir " + dir + "/x --model A9",
	} {
		if status, err := run(strings.Fields(line)); status == 0 || err == nil {
			t.Errorf("fakehost %s: status %d, error %v", line, status, err)
		}
	}
}
