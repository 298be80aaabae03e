package fakehost

import (
	"fmt"
	"os"
	"strings"
)

// versionInfo is the text of a package's version.info; wants are the ranges of the
// other kind's version, "" leaves them out. The keys are those of 24.1 packages.
func versionInfo(kind, version, wants string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Version=%s\n", version)
	if kind == Driver {
		b.WriteString("ascendhal_version=7.35.23\naicpu_version=1.0\ntdt_version=1.0\nlog_version=1.0\nprof_version=2.0\n")
		b.WriteString("dvppkernels_version=1.1\ntsfw_version=1.0\nInnerversion=V100R001C15SPC006B220\n")
		b.WriteString("compatible_version=[V100R001C15],[V100R001C18],[V100R001C19]\n")
		if wants != "" {
			fmt.Fprintf(&b, "compatible_version_fw=%s\n", wants)
		}
		fmt.Fprintf(&b, "package_version=%s\n", version)
		return b.String()
	}
	b.WriteString("firmware_version=1.0\n")
	if wants != "" {
		fmt.Fprintf(&b, "compatible_version_drv=%s\n", wants)
	}
	return b.String()
}

func (h *Host) writeVersionInfo(kind string, s State) error {
	version, wants := s.Installed.Driver, s.DriverWants
	if kind == Firmware {
		version, wants = s.Installed.Firmware, s.FirmwareWants
	}
	path := "/usr/local/Ascend/" + kind + "/version.info"
	if args, on := s.Fault(VersionInfoMissing); version == "" || (on && args.Applies(kind)) {
		return os.RemoveAll(h.Path(path))
	}
	text := versionInfo(kind, version, wants)
	if args, on := s.Fault(VersionInfoDamaged); on && args.Applies(kind) {
		text = text[:len("Version=")+2] + strings.Repeat("\x00", 64)
	}
	return h.keep(path, text, 0o444, true)
}

// installInfo is the text of /etc/ascend_install.info.
func installInfo(s State) string {
	b := "UserName=HwHiAiUser\nUserGroup=HwHiAiUser\n"
	if s.Installed.Firmware != "" {
		b += "Firmware_Install_Type=full\nFirmware_Install_Path_Param=/usr/local/Ascend\n"
	}
	if s.Installed.Driver != "" {
		all := "no"
		if s.InstallForAll {
			all = "yes"
		}
		b += "Driver_Install_Type=full\nDriver_Install_Path_Param=/usr/local/Ascend\nDriver_Install_For_All=" + all + "\nDriver_Install_Mode=normal\n"
		if s.Complete && s.NewGeneration() {
			b += "Driver_Install_Status=complete\n"
		}
	}
	return b
}

// NewGeneration tells whether the tools on disk are of the 26 line or later, which
// prints wider tables and minds an incomplete installation.
func (s State) NewGeneration() bool { return !s.Before("26.0") }

// Before reports whether the tools on disk are of a release before this one.
func (s State) Before(release string) bool { return versionLess(s.Installed.Driver, release) }
