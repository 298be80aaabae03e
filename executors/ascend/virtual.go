package ascend

import (
	"io/fs"
	"strings"

	"devserver-agent/executors/lazyregexp"
)

var (
	// The vendors and products that hypervisors give their machines (the table of
	// systemd-detect-virt); OpenStack's has a product of its own.
	virtualVendor = lazyregexp.New(`(?i)\b(?:QEMU|KVM|VMware|VirtualBox|innotek|Xen|Bochs|Parallels|BHYVE|OpenStack|Virtual Machine|Amazon EC2|Google Compute Engine|Alibaba Cloud ECS)\b`)
	// Linux on x86 lists the bit by which a processor says that it is virtual.
	virtualFlag = lazyregexp.New(`(?m)^flags\s*:.*\bhypervisor\b`)
)

// Virtual reports whether the host is a virtual machine, as its firmware or its
// processor says. NPUs are given to such hosts one by one, and much of what a server
// reports can be asked on the hypervisor's host only.
func Virtual(files fs.FS) bool {
	for _, name := range []string{"sys_vendor", "product_name", "bios_vendor", "chassis_vendor"} {
		if virtualVendor.MatchString(Head(files, "sys/class/dmi/id/"+name)) {
			return true
		}
	}
	return strings.TrimSpace(Head(files, "sys/hypervisor/type")) != "" || virtualFlag.MatchString(Head(files, "proc/cpuinfo"))
}

// Contained reports whether the agent is in a container, as Docker, Podman and systemd
// mark theirs (systemd's interface for containers). A container sees all of the PCI bus,
// and has the nodes of the NPUs that it was given.
func Contained(files fs.FS) bool {
	for _, mark := range []string{".dockerenv", "run/.containerenv", "run/systemd/container"} {
		if _, err := fs.Stat(files, mark); err == nil {
			return true
		}
	}
	return false
}
