package container

import (
	"runtime"
	"strings"

	"devserver-agent/test/debian"
)

// Image is the Debian packages in a container beside what Debian calls essential.
type Image string

// Images.
const (
	Debian  Image = "systemd systemd-sysv dbus libpam-systemd procps ca-certificates"
	WithDNF       = Debian + " rpm dnf createrepo-c"
)

func (i Image) folder() (string, error) {
	return debian.Root(runtime.GOARCH, strings.Fields(string(i))...)
}
