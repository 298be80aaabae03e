package ascend

import (
	"errors"
	"fmt"
	"path"
)

// VersionInfo is the version.info of an installed driver or firmware: what is
// installed, which is not always what runs.
type VersionInfo struct {
	Version Version           `json:"version"`
	Values  map[string]string `json:"values"` // every key of the file
}

// DefaultInstallPath is where driver and firmware are unless
// ascend_install.info says otherwise.
const DefaultInstallPath = "/usr/local/Ascend"

// InstalledDriver reads the driver's version.info. Without one the error is
// fs.ErrNotExist: no driver, or an installation that was cut in the middle.
func (n Node) InstalledDriver() (VersionInfo, error) {
	return n.installed(InstallInfo.DriverPath, "driver")
}

// InstalledFirmware reads the firmware's version.info; fs.ErrNotExist is as for
// the driver.
func (n Node) InstalledFirmware() (VersionInfo, error) {
	return n.installed(InstallInfo.FirmwarePath, "firmware")
}

func (n Node) installed(where func(InstallInfo) string, part string) (VersionInfo, error) {
	// A missing or damaged ascend_install.info gives the default path.
	name := versionFile(DefaultInstallPath, part)
	if info, err := n.InstallInfo(); err == nil {
		name = versionFile(where(info), part)
	}
	data, err := readFile(n.host.Files(), name)
	if err != nil {
		return VersionInfo{}, err
	}
	info, err := ParseVersionInfo(data)
	if err != nil {
		return VersionInfo{}, fmt.Errorf("read /%s: %w", name, err)
	}
	return info, nil
}

// versionFile is the name of a part's version.info in the host's file system.
func versionFile(dir, part string) string {
	return path.Join(dir, part, "version.info")[1:]
}

// ParseVersionInfo reads a version.info. It must have a Version that is one.
func ParseVersionInfo(data []byte) (VersionInfo, error) {
	values, err := assignments(data)
	if err != nil {
		return VersionInfo{}, err
	}
	text, given := values["Version"]
	if !given {
		return VersionInfo{}, errors.New("has no Version")
	}
	version, err := ParseVersion(text)
	if err != nil {
		return VersionInfo{}, fmt.Errorf("gives %q as Version", clip(text, maxVersion))
	}
	return VersionInfo{Version: version, Values: values}, nil
}

// Package is the version of the package it was installed from, "" when the file
// does not say.
func (v VersionInfo) Package() string { return v.Values["package_version"] }

// Drivers are the drivers that a firmware declares itself compatible with. None
// means that it declares nothing.
func (v VersionInfo) Drivers() ([]Range, error) { return v.ranges("compatible_version_drv") }

// Firmwares are the firmwares that a driver declares itself compatible with.
// None means that it declares nothing.
func (v VersionInfo) Firmwares() ([]Range, error) { return v.ranges("compatible_version_fw") }

// Same are the versions of its own kind that it declares itself compatible
// with. None means that it declares nothing.
func (v VersionInfo) Same() ([]Range, error) { return v.ranges("compatible_version") }

func (v VersionInfo) ranges(key string) ([]Range, error) {
	ranges, err := ParseRanges(v.Values[key])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return ranges, nil
}
