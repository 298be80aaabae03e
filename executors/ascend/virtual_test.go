package ascend

import (
	"testing"
	"testing/fstest"
)

func TestVirtualMachinesAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		virtual    bool
	}{
		"a server":            {"sys/class/dmi/id/product_name", "Atlas 800T A2\n", false},
		"QEMU":                {"sys/class/dmi/id/sys_vendor", "QEMU\n", true},
		"OpenStack":           {"sys/class/dmi/id/product_name", "OpenStack Nova\n", true},
		"Xen":                 {"sys/hypervisor/type", "xen\n", true},
		"a virtual processor": {"proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme hypervisor lahf_lm\n", true},
		"a processor":         {"proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme vmx lahf_lm\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if virtual := Virtual(fstest.MapFS{c.file: {Data: []byte(c.text)}}); virtual != c.virtual {
				t.Errorf("virtual is %v", virtual)
			}
		})
	}
}
