package ascend

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// InstallInfo is /etc/ascend_install.info, where the installers remember how
// they were called.
type InstallInfo struct {
	Values map[string]string `json:"values"` // every key of the file
}

const installInfoFile = "etc/ascend_install.info"

// InstallInfo reads /etc/ascend_install.info. A host on which nothing was ever
// installed has none: fs.ErrNotExist.
func (n Node) InstallInfo() (InstallInfo, error) {
	data, err := readFile(n.host.Files(), installInfoFile)
	if err != nil {
		return InstallInfo{}, err
	}
	info, err := ParseInstallInfo(data)
	if err != nil {
		return InstallInfo{}, fmt.Errorf("read /%s: %w", installInfoFile, err)
	}
	return info, nil
}

// ParseInstallInfo reads an ascend_install.info, whose keys come in any order.
func ParseInstallInfo(data []byte) (InstallInfo, error) {
	values, err := assignments(data)
	if err != nil {
		return InstallInfo{}, err
	}
	if len(values) == 0 {
		return InstallInfo{}, errors.New("has no key")
	}
	return InstallInfo{Values: values}, nil
}

// User and Group own what runs on the driver; "" when the file does not say.
func (i InstallInfo) User() string { return i.Values["UserName"] }

// Group is the group of User.
func (i InstallInfo) Group() string { return i.Values["UserGroup"] }

// DriverType is how the driver was installed, such as full; "" when the file
// does not say.
func (i InstallInfo) DriverType() string { return i.Values["Driver_Install_Type"] }

// FirmwareType is how the firmware was installed, such as full.
func (i InstallInfo) FirmwareType() string { return i.Values["Firmware_Install_Type"] }

// ForAll reports whether the driver was installed for all users.
func (i InstallInfo) ForAll() bool {
	return strings.EqualFold(i.Values["Driver_Install_For_All"], "yes")
}

// DriverPath is the folder that the driver was installed under, or the default.
func (i InstallInfo) DriverPath() string { return installPath(i.Values["Driver_Install_Path_Param"]) }

// FirmwarePath is the folder that the firmware was installed under, or the
// default.
func (i InstallInfo) FirmwarePath() string {
	return installPath(i.Values["Firmware_Install_Path_Param"])
}

func installPath(param string) string {
	if !path.IsAbs(param) {
		return DefaultInstallPath
	}
	return path.Clean(param)
}

// DriverComplete reports whether the driver's installer says that it came to
// its end. told is false for releases before 26, which do not say.
func (i InstallInfo) DriverComplete() (complete, told bool) {
	status, told := i.Values["Driver_Install_Status"]
	return status == "complete", told
}
