package repository_test

import (
	"strings"
	"testing"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
)

const (
	a2 = ascend.Chip910B
	a3 = ascend.Chip910_93
)

func TestNamesOfPackages(t *testing.T) {
	for name, want := range map[string]repository.Package{
		"Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run":   {Kind: repository.Driver, Chip: a2, Arch: "aarch64", Version: "24.1.0.3"},
		"Ascend-hdk-910b-npu-driver_24.1.0.3_linux-x86-64.run":    {Kind: repository.Driver, Chip: a2, Arch: "x86_64", Version: "24.1.0.3"},
		"Ascend-hdk-310p-npu-driver_24.1.RC3.6_linux-x86_64.run":  {Kind: repository.Driver, Chip: ascend.Chip310P, Arch: "x86_64", Version: "24.1.rc3.6"},
		"Ascend-hdk-910b-npu-firmware_7.5.0.5.220.run":            {Kind: repository.Firmware, Chip: a2, Arch: "noarch", Version: "7.5.0.5.220"},
		"Ascend-hdk-A3-npu-driver_24.1.rc3.10_linux-aarch64.run":  {Kind: repository.Driver, Chip: a3, Arch: "aarch64", Version: "24.1.rc3.10"},
		"Ascend-hdk-310b-npu-driver-soc_23.0.0_linux-aarch64.run": {Kind: repository.Driver, Chip: ascend.Chip310B, Arch: "aarch64", Version: "23.0.0"},
		"Atlas-A5-hdk-npu-driver_26.1.0_linux-aarch64.run":        {Kind: repository.Driver, Chip: ascend.Chip950, Arch: "aarch64", Version: "26.1.0"},
		"Ascend-hdk-910-npu-firmware_7.1.0.3.220.run":             {Kind: repository.Firmware, Chip: ascend.Chip910, Arch: "noarch", Version: "7.1.0.3.220"},
		"Ascend-hdk-910b-npu-driver-25.5.2-1.aarch64.rpm":         {Kind: repository.Driver, Chip: a2, Arch: "aarch64", Version: "25.5.2"},
		"Ascend-hdk-910b-npu-driver-25.2.0-1.x86-64.rpm":          {Kind: repository.Driver, Chip: a2, Arch: "x86_64", Version: "25.2.0"},
		"Ascend-hdk-910b-npu-firmware-7.8.0.7.220-1.noarch.rpm":   {Kind: repository.Firmware, Chip: a2, Arch: "noarch", Version: "7.8.0.7.220"},
		"Ascend-hdk-910b-npu-driver_25.0.rc1.1_linux-aarch64.deb": {Kind: repository.Driver, Chip: a2, Arch: "aarch64", Version: "25.0.rc1.1"},
		"Ascend-hdk-A3-npu-driver_25.5.2_amd64.deb":               {Kind: repository.Driver, Chip: a3, Arch: "x86_64", Version: "25.5.2"},
		"Ascend-hdk-910b-npu-firmware_7.8.0.7.220_all.deb":        {Kind: repository.Firmware, Chip: a2, Arch: "noarch", Version: "7.8.0.7.220"},
		"Ascend-hdk-910b-mcu_25.50.10.hpm":                        {Kind: repository.MCU, Chip: a2, Arch: "noarch", Version: "25.50.10"},
		"Ascend-hdk-310p-mcu_23.2.4.zip":                          {Kind: repository.MCU, Chip: ascend.Chip310P, Arch: "noarch", Version: "23.2.4"},

		// Names that leave the architecture to the content.
		"Ascend-hdk-910b-npu-driver_24.1.0.3.run":        {Kind: repository.Driver, Chip: a2, Version: "24.1.0.3"},
		"Ascend-hdk-910b-npu-driver_24.1.0.3_noarch.deb": {Kind: repository.Driver, Chip: a2, Version: "24.1.0.3"},

		// Names that releases of A3 were seen with, and repacks.
		"Atlas-A3-hdk-npu-driver_25.0.rc1.9_linux-aarch64.run":                  {Kind: repository.Driver, Chip: a3, Arch: "aarch64", Version: "25.0.rc1.9"},
		"Atlas-A3-hdk-npu-driver_25.5.0.b071_linux-aarch64.run":                 {Kind: repository.Driver, Chip: a3, Arch: "aarch64", Version: "25.5.0.b071"},
		"Atlas-A3-hdk-npu-driver_26.0.RC1_linux-aarch64.run":                    {Kind: repository.Driver, Chip: a3, Arch: "aarch64", Version: "26.0.rc1"},
		"Atlas-A3-hdk-npu-driver_26.0.rc1_linux-x86-64.run":                     {Kind: repository.Driver, Chip: a3, Arch: "x86_64", Version: "26.0.rc1"},
		"Atlas-A3-hdk-npu-driver-26.0.rc1-1.aarch64.rpm":                        {Kind: repository.Driver, Chip: a3, Arch: "aarch64", Version: "26.0.rc1"},
		"Atlas-A3-hdk-npu-firmware_7.7.0.3.231.run":                             {Kind: repository.Firmware, Chip: a3, Arch: "noarch", Version: "7.7.0.3.231"},
		"Atlas-A3-hdk-npu-firmware_9.0.0.0.207.run":                             {Kind: repository.Firmware, Chip: a3, Arch: "noarch", Version: "9.0.0.0.207"},
		"Ascend-hdk-A3-npu-driver_25.2.1_linux-aarch64.run":                     {Kind: repository.Driver, Chip: a3, Arch: "aarch64", Version: "25.2.1"},
		"Ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.run":                   {Kind: repository.Driver, Chip: a2, Arch: "aarch64", Version: "25.5.0"},
		"Ascend-hdk-310p-npu-driver_25.5.0_linux-aarch64-custom-custom.run":     {Kind: repository.Driver, Chip: ascend.Chip310P, Arch: "aarch64", Version: "25.5.0"},
		"Ascend-hdk-910b-npu-firmware_7.5.0.5.220-custom.run":                   {Kind: repository.Firmware, Chip: a2, Arch: "noarch", Version: "7.5.0.5.220"},
		"ascend-hdk-910b-npu-driver_25.5.0_linux-aarch64.RUN":                   {Kind: repository.Driver, Chip: a2, Arch: "aarch64", Version: "25.5.0"},
		"Atlas-A3-hdk-npu-driver_25.5.0.B071_linux-aarch64-custom-custom-1.run": {},
	} {
		got, err := repository.Named(name)
		if got != want || (err == nil) != (want.Kind != "") {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestNamesOfFilesThatAreNotInstalledSayWhatToDo(t *testing.T) {
	for name, want := range map[string]string{
		"Ascend-hdk-910b-npu_25.5.2_linux-aarch64.zip":             "it is a bundle of a driver and a firmware; unpack it",
		"Atlas-A3-hdk-npu_26.0.rc1_linux-aarch64.zip":              "it is a bundle of a driver and a firmware; unpack it",
		"Atlas-A3-hdk-mcu_25.60.11.hpm":                            "through the server's BMC, and is not a driver or firmware",
		"Atlas-A3-hdk-mcu_25.60.11.zip":                            "through the server's BMC, and is not a driver or firmware",
		"Ascend-hdk-910b-npu-driver_25.0.rc1_sph002_linux.run":     "it is a patch of a driver and not a whole one",
		"Ascend-hdk-910b-npu_25.0.rc1_sph001_linux.run":            "it is a patch of a driver and not a whole one",
		"A300-3010-npu-driver_20.2.2_centos7.6-x86_64.run":         "it is named after an old product and not after a chip",
		"A800-9000-npu-driver_x.x.x_euleros2.8-aarch64.run":        "it is named after an old product and not after a chip",
		"Ascend-hdk-910b-mcu_25.50.10.run":                         "is not named as an HDK package",
		"Ascend-hdk-910b-npu-driver_newest_linux-aarch64.run":      "is not named as an HDK package",
		"Ascend-hdk-910b-npu-driver_1.0_linux-aarch64.run; reboot": "is not named as an HDK package",
		"Ascend-hdk-910b-npu-driver_1..0_linux-aarch64.run":        "is not a version",
		"some.zip":                         "is not named as an HDK package",
		strings.Repeat("x", 4000) + ".run": "is not named as an HDK package",
		"Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run\n":    "is not named as an HDK package",
		"x/Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run":    "is not named as an HDK package",
		"Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run.part": "is not named as an HDK package",
	} {
		got, err := repository.Named(name)
		if err == nil || got != (repository.Package{}) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: got %+v, %v, want %q", name, got, err, want)
		}
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("%.100s: a message of %d bytes", name, len(err.Error()))
		}
	}
}
