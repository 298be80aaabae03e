package fakehost_test

import (
	"strings"
	"testing"

	"devserver-agent/test/fakehost"
)

// The firmware of a virtual machine's cards runs on them; the hypervisor's host has its
// package.
func TestAVirtualMachineHasNoFirmwareInstalled(t *testing.T) {
	for _, model := range fakehost.Models() {
		h := fakehost.ForTest(t, model, fakehost.Options{Place: fakehost.VM, Cards: 1})
		for _, path := range []string{"/usr/local/Ascend/firmware/version.info", "/usr/local/Ascend/firmware/script/uninstall.sh"} {
			if !absent(h, path) {
				t.Errorf("%s has %s", model, path)
			}
		}
		if absent(h, "/usr/local/Ascend/driver/version.info") {
			t.Errorf("%s has no driver installed", model)
		}
		if strings.Contains(read(t, h, "/etc/ascend_install.info"), "Firmware_") {
			t.Errorf("%s: ascend_install.info says that firmware is installed", model)
		}
		if running := state(t, h).Running(); running.Driver == "" || running.Firmware == "" {
			t.Errorf("%s runs %+v", model, running)
		}
	}
}
