//go:build container

package container_test

import (
	"strings"
	"testing"

	"devserver-agent/test/container"
	"devserver-agent/test/support/wait"
)

func TestAContainerBootsRestartsAndLosesItsPower(t *testing.T) {
	t.Parallel()
	c := container.Start(t, container.Debian, nil)
	ids := map[string]bool{}
	note := func() { ids[c.MustRun("cat", "/proc/sys/kernel/random/boot_id")] = true }
	note()
	c.MustRun("sh", "-c", "echo kept >/root/kept")
	if _, err := c.Run("systemctl", "reboot"); err != nil {
		t.Log(err) // its connection may go down first
	}
	c.AwaitBoot(2)
	note()
	c.PowerCut()
	note()
	if len(ids) != 3 || c.Boots() != 3 {
		t.Errorf("after %d boots it had the boot ids %v", c.Boots(), ids)
	}
	if got := c.MustRun("cat", "/root/kept"); got != "kept" {
		t.Errorf("its files say %q", got)
	}
}

func TestThePowerIsCutBetweenTwoBoots(t *testing.T) {
	t.Parallel()
	c := container.Start(t, container.Debian, nil)
	for n := range 5 {
		before := c.Boots()
		if _, err := c.Run("systemctl", "reboot", "--force", "--force"); err != nil {
			t.Log(err) // its connection goes down first
		}
		wait.For(t, "it goes down", func() bool { return !c.Up() || c.Boots() != before })
		c.PowerCut()
		if got := c.Boots(); got < 2*n+2 {
			t.Errorf("after %d restarts and power cuts it had %d boots", n+1, got)
		}
	}
}

func TestLimitsOfUnitsHold(t *testing.T) {
	t.Parallel()
	c := container.Start(t, container.Debian, nil)
	out, err := c.Run("systemd-run", "--wait", "--pipe", "--quiet", "-p", "TasksMax=3", "sh", "-c", "for i in 1 2 3 4 5; do sleep 1 & done; wait")
	if err == nil || !strings.Contains(out+err.Error(), "fork") {
		t.Errorf("five tasks ran where three may: %s, %v", out, err)
	}
}
