package container

import (
	"runtime"
	"strings"

	"devserver-agent/test/debian"
)

// Image is what is in a container: an architecture, and Debian packages beside what
// Debian calls essential.
type Image struct{ arch, packages string }

const small = "systemd systemd-sysv dbus libpam-systemd procps ca-certificates"

// Images.
var (
	Debian  = Image{runtime.GOARCH, small}
	WithDNF = Image{runtime.GOARCH, small + " rpm dnf createrepo-c"}
	// Arm64 is emulated on other machines, whose binfmt_misc has to know how.
	Arm64 = Image{"arm64", small}
)

func (i Image) folder() (string, error) {
	return debian.Root(i.arch, strings.Fields(i.packages)...)
}
