package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/agent/failpoint"
	"devserver-agent/protocol"
	"devserver-agent/test/support/wait"
)

// refuses checks that the agent ends at once with exit code 78 and a sentence,
// and that it says so every time.
func (r *rig) refuses(sentence string) {
	r.t.Helper()
	for range 2 {
		cmd := r.command("run")
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 78 || !strings.Contains(string(out), sentence) {
			r.t.Errorf("exit code %d (%v), want 78 and %q; it said:\n%s", code, err, sentence, out)
		}
	}
}

// settled is a rig whose agent has run once and ended a task.
func settled(t *testing.T) *rig {
	r := newRig(t)
	r.start()
	r.give("task-1", "a:ok")
	r.ends("task-1", protocol.Success, "")
	return r
}

func TestStateInUseByAnotherAgentIsRefused(t *testing.T) {
	t.Parallel()
	r := settled(t)
	r.refuses("another agent uses this state directory")
	r.give("task-2", "b:ok")
	r.ends("task-2", protocol.Success, "") // the first one goes on
}

func TestStateOfAnotherMachineIsRefusedUntilItIsAdopted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.machine("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
	r.start()
	r.give("task-1", "a:ok")
	r.ends("task-1", protocol.Success, "")
	r.stop()
	r.machine("00112233445566778899aabbccddeeff")
	r.refuses("belongs to another machine")
	if out, err := r.command("adopt").CombinedOutput(); err != nil {
		t.Fatalf("adopt: %v\n%s", err, out)
	}
	r.start()
	r.give("task-2", "b:ok")
	r.ends("task-2", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1, "b": 1})
}

func (h *host) machine(id string) {
	h.t.Helper()
	h.must(os.MkdirAll(h.path("root/etc"), 0o755))
	h.must(os.WriteFile(h.path("root/etc/machine-id"), []byte(id+"\n"), 0o644))
}

func TestStateOfANewerAgentIsRefused(t *testing.T) {
	t.Parallel()
	r := settled(t)
	r.stop()
	r.edit("installation.json", func(raw []byte) []byte {
		return bytes.Replace(raw, []byte(`"schema": 1`), []byte(`"schema": 99`), 1)
	})
	r.refuses("newer agent")
}

func TestStateWhoseInstallationCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	r := settled(t)
	r.stop()
	r.edit("installation.json", func(raw []byte) []byte { return raw[:len(raw)/2] })
	r.refuses("installation.json")
}

// edit changes a file of the state directory, which no agent uses.
func (h *host) edit(name string, change func([]byte) []byte) {
	h.t.Helper()
	path := filepath.Join(h.stateDir(), name)
	raw, err := os.ReadFile(path)
	h.must(err)
	changed := change(bytes.Clone(raw))
	if bytes.Equal(raw, changed) {
		h.t.Fatalf("%s was not changed: %s", name, raw)
	}
	h.must(os.WriteFile(path, changed, 0o600))
}

func TestStateThatCannotBeMadeIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	// A folder that nobody can make anything in, root included.
	r.configureIn("/proc/self/e2e-state", r.net.url(), r.trust())
	r.refuses("state directory")
}

// onDisk is a rig whose state directory is on a disk of its own.
func onDisk(t *testing.T, bytes int) (*rig, *disk) {
	r, d := newRig(t), newDisk(t, bytes)
	state := filepath.Join(d.path, "state")
	r.must(os.Symlink(state, r.stateDir()))
	r.configureIn(state, r.net.url(), r.trust())
	return r, d
}

func TestStateThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	r, d := onDisk(t, 8<<20)
	r.start()
	r.give("task-1", "a:gate", "b:ok")
	r.awaitProgram("a")
	r.accepted("task-1")
	r.kill() // what it has open for writing keeps the disk writable
	r.open("a")
	wait.Until(t, "nothing of the host runs", func() error {
		if len(r.running()) > 0 {
			return fmt.Errorf("%+v runs", r.running())
		}
		return nil
	})
	d.remount("ro")
	r.refuses("read-only file system")
	d.remount("rw")
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1, "b": 1})
}

func TestStateOnAFullDisk(t *testing.T) {
	t.Parallel()
	r, d := onDisk(t, 4<<20)
	r.start()
	r.give("task-1", "a:gate", "b:ok", "c:ok")
	r.awaitProgram("a")
	first := d.fill()
	r.open("a")
	if v := r.ends("task-1", protocol.Success, ""); v.Attempts != 1 {
		t.Errorf("an end could not be recorded: %s", v.Message)
	}
	second := d.fill() // what the task gave back
	r.give("task-2", "d:ok")
	r.notice(protocol.NoticeDiskFull)
	if said := r.of("task-2"); len(said) > 0 {
		t.Errorf("a task was accepted on a full disk: %v", brief(said))
	}
	r.kill()
	r.start()
	if err := errors.Join(os.Remove(first), os.Remove(second)); err != nil {
		t.Fatal(err)
	}
	r.deliver()
	r.ends("task-2", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1, "b": 1, "c": 1, "d": 1})
}

// notice waits for a notice of a code and returns the first.
func (r *rig) notice(code protocol.Code) (found protocol.Notice) {
	r.t.Helper()
	wait.Until(r.t, fmt.Sprintf("the agent reports %s", code), func() error {
		for _, n := range r.notices() {
			if n.Code == code {
				found = n
				return nil
			}
		}
		return fmt.Errorf("its notices are %+v", r.notices())
	})
	return found
}

func TestStateWithATornLastRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start(failpoint.StepEnded)
	r.give("task-1", "a:ok", "b:ok")
	r.dies()
	r.edit("tasks/task-1/log", func(raw []byte) []byte {
		last := raw[bytes.LastIndexByte(raw[:len(raw)-1], '\n')+1:]
		return append(raw, last[:len(last)/2]...)
	})
	r.start()
	r.ends("task-1", protocol.Success, "")
	r.wantStarts(map[string]int{"a": 1, "b": 1})
}

func TestStateWithADamagedRecordEndsThatTaskOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"in the middle", func(raw []byte) []byte { raw[bytes.IndexByte(raw, '\n')+30] ^= 0x20; return raw }},
		{"at the beginning", func(raw []byte) []byte { raw[20] ^= 0x20; return raw }},
		{"everywhere", func(raw []byte) []byte { return bytes.Repeat([]byte{0}, len(raw)) }},
		{"which is gone", func([]byte) []byte { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.start(failpoint.StepEnded + ":2")
			r.list(r.task("task-1", r.trial("a:ok", "b:ok", "c:ok")))
			r.give("task-2", "d:ok")
			r.dies()
			r.edit("tasks/task-1/log", c.damage)
			r.start()
			wait.Until(t, "the damaged task has its verdict", func() error {
				if r.verdict("task-1") == nil {
					return errors.New("it has none")
				}
				return nil
			})
			if v := r.verdict("task-1"); v.Status != protocol.Failed || v.Code != protocol.JournalDamaged || v.JobID != "job-task-1" || !strings.Contains(v.Message, "The host now") {
				t.Errorf("the verdict is %+v", v)
			}
			r.closed("task-1")
			r.ends("task-2", protocol.Success, "")
			r.wantStarts(map[string]int{"a": 1, "b": 1, "d": 1})
		})
	}
}
