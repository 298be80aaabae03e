//go:build container

package vm_test

import (
	"os"
	"strings"
	"testing"

	"devserver-agent/test/vm"
)

func TestAMachineBootsRestartsAndForgetsWhatWasNotSynced(t *testing.T) {
	t.Parallel()
	m := vm.Start(t, "127.0.0.1:9")
	ids := map[string]bool{}
	note := func() { ids[m.MustRun("cat", "/proc/sys/kernel/random/boot_id")] = true }
	note()
	if _, err := m.Run("systemctl", "reboot"); err != nil {
		t.Log(err) // its connection may go down first
	}
	m.AwaitBoot(2)
	note()
	m.MustRun("sh", "-c", "echo kept >/root/kept && sync && echo lost >/root/lost && echo shared >/srv/shared")
	m.PowerCut()
	note()
	if len(ids) != 3 || m.Boots() != 3 {
		t.Errorf("after %d boots it had the boot ids %v", m.Boots(), ids)
	}
	if got := m.MustRun("cat", "/root/kept"); got != "kept" {
		t.Errorf("what was synced says %q", got)
	}
	if got, err := m.Run("cat", "/root/lost"); err == nil && got != "" {
		t.Errorf("what was not synced says %q", got)
	}
	if got, err := os.ReadFile(m.Path("/srv/shared")); err != nil || strings.TrimSpace(string(got)) != "shared" {
		t.Errorf("what is shared says %q (%v)", got, err)
	}
}
