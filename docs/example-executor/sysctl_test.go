package example_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	example "devserver-agent/docs/example-executor"
	"devserver-agent/executors"
	"devserver-agent/protocol"
	"devserver-agent/test/hosttest"
)

// swappy is a host with one kernel parameter and a sysctl that can set it.
func swappy(t *testing.T, sysctl string) *hosttest.Host {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/sys/vm/swappiness": "60\n",
		"usr/sbin/sysctl":        "#!/bin/sh\n" + sysctl + "\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return hosttest.New(t, root)
}

const sets = `echo "$2"; echo "${2#*=}" > "$HOST_ROOT/proc/sys/vm/swappiness"`

var ten = executors.Spec{"name": "vm.swappiness", "value": "10"}

func execute(t *testing.T, host *hosttest.Host, want string, starts int) {
	t.Helper()
	result, err := example.SetSysctl{}.Execute(context.Background(), host, ten)
	if err != nil || result.Message != want {
		t.Errorf("got %q, %v; want %q", result.Message, err, want)
	}
	if unchanged := starts == 0; result.Unchanged != unchanged {
		t.Errorf("unchanged: %v, want %v", result.Unchanged, unchanged)
	}
	if got := host.Starts("set"); got != starts {
		t.Errorf("sysctl was started %d times, not %d", got, starts)
	}
}

func TestItActsOnceHoweverOftenItIsReplayed(t *testing.T) {
	host := swappy(t, sets)
	execute(t, host, "vm.swappiness is 10, was 60", 1)
	host.Replay()
	execute(t, host, "vm.swappiness is 10, was 60", 1)
	if host.Output() != "vm.swappiness=10\n" {
		t.Errorf("output is %q", host.Output())
	}
}

func TestItDoesNothingWhereNothingIsToBeDone(t *testing.T) {
	host := swappy(t, sets)
	write(t, host, "10\n")
	execute(t, host, "vm.swappiness was 10 already", 0)
}

func write(t *testing.T, host *hosttest.Host, value string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(host.Root(), "proc/sys/vm/swappiness"), []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestItLooksBeforeItActsAgain(t *testing.T) {
	host := swappy(t, sets)
	host.Cut("set") // after it had set the value
	execute(t, host, "vm.swappiness is 10, was 60", 1)
	host.Replay()
	execute(t, host, "vm.swappiness is 10, was 60", 1)
}

func TestItActsAgainWhenTheFirstAttemptDidNothing(t *testing.T) {
	host := swappy(t, `[ -e "$HOST_ROOT/tried" ] || { touch "$HOST_ROOT/tried"; exit 1; }; `+sets)
	host.Cut("set") // before it had set the value
	execute(t, host, "vm.swappiness is 10, was 60", 2)
	host.Replay()
	execute(t, host, "vm.swappiness is 10, was 60", 2)
}

func TestItSaysWhyItFailed(t *testing.T) {
	host := swappy(t, "echo 'permission denied' >&2; exit 255")
	_, err := example.SetSysctl{}.Execute(context.Background(), host, ten)
	var failure *executors.Failure
	want := "Program sysctl ended with exit code 255; vm.swappiness was 60 before. Read the task's output for the reason."
	if !errors.As(err, &failure) || failure.Code != protocol.StepFailed || failure.Message != want {
		t.Errorf("got %v", err)
	}
	if host.Output() != "permission denied\n" {
		t.Errorf("output is %q", host.Output())
	}
}

func TestItsSpecIsChecked(t *testing.T) {
	registry := executors.NewRegistry(map[string]executors.Executor{"SYSCTL_SET": example.SetSysctl{}})
	_, described, ok := registry.Lookup("SYSCTL_SET")
	if !ok || described.Template != "SYSCTL_SET" || described.TimeoutSeconds != 60 {
		t.Fatalf("registered as %+v", described)
	}
	if err := described.CheckSpec(ten); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "vm", "../../etc/passwd", "vm.swappiness;reboot"} {
		if err := described.CheckSpec(map[string]string{"name": name, "value": "10"}); err == nil {
			t.Errorf("took the parameter %q", name)
		}
	}
}
