package repository

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// Names of packages as Huawei gives them, such as
// Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run,
// Ascend-hdk-910b-npu-driver-25.5.2-1.aarch64.rpm,
// Ascend-hdk-310p-npu-driver_25.5.0_linux-aarch64-custom.run, which an installer's
// --repack made, Atlas-A3-hdk-npu-firmware_7.7.0.3.231.run and
// Ascend-hdk-910b-mcu_25.50.10.hpm, which is also given as a zip.
var (
	packageName = lazyregexp.New(`(?i)^(?:Ascend-hdk-([a-z0-9_]+)-npu|Atlas-(A[0-9])-hdk-npu)-(driver|firmware)(?:-soc)?[_-]([0-9][0-9a-z.]*?)(?:-[0-9]+)?(?:[._](?:linux-)?(aarch64|arm64|x86-64|x86_64|amd64|noarch|all))?(?:-custom)*\.(?:run|rpm|deb)$`)
	mcuName     = lazyregexp.New(`(?i)^Ascend-hdk-([a-z0-9_]+)-mcu_([0-9][0-9.]*)\.(?:hpm|zip)$`)
)

// Names that are Huawei's too, of files that are not installed, and what to do with
// such a file. The first that fits counts.
var otherNames = []struct {
	name   *lazyregexp.Regexp
	reason string
}{
	{lazyregexp.New(`(?i)^(?:Ascend-hdk|Atlas-A[0-9]-hdk)-.*_sph[0-9]+(?:[_.-].*)?\.(?:run|rpm|deb|zip)$`),
		"it is a patch of a driver and not a whole one; put the driver of a release here that has the correction"},
	{lazyregexp.New(`(?i)^A[0-9]{3,4}[a-z]{0,4}-[a-z0-9.]+-npu-(?:driver|firmware).*\.(?:run|rpm|deb|zip)$`),
		"it is named after an old product and not after a chip; put the Ascend-hdk package of the card's chip here"},
	{lazyregexp.New(`(?i)^Atlas-A[0-9]-hdk-mcu[_-].*\.(?:hpm|zip)$`),
		"it is an MCU's image that is loaded out of band, through the server's BMC, and is not a driver or firmware; load it there and keep it elsewhere"},
	{lazyregexp.New(`(?i)^(?:Ascend-hdk-[a-z0-9_]+-npu|Atlas-A[0-9]-hdk-npu)_[0-9].*\.zip$`),
		"it is a bundle of a driver and a firmware; unpack it and put the driver's .run and the firmware's .run that are in it here"},
}

// copied are the names that browsers give to copies and to what they have not finished.
var copied = lazyregexp.New(`(?i)hdk-.*(?: ?\([0-9]+\)\.[a-z]+|\.(?:part|crdownload|download|tmp|[0-9]{1,3}))$`)

// errUnknownName says that a name is not one of Huawei's, so it says nothing of the file.
var errUnknownName = errors.New("is not named as an HDK package")

// archNames are the names of architectures that are not those of uname -m.
var archNames = map[string]string{"all": NoArch, "arm64": "aarch64", "x86-64": "x86_64", "amd64": "x86_64"}

// parseName reads what a package's file name says: kind, chip, version, and the
// architecture, "" if it names none. The error of a file that is one of Huawei's and not
// to be installed says why, and what to do with it. What is in the file counts more.
func parseName(name string) (Package, error) {
	kind, chip, version, arch := "", "", "", ""
	if match := packageName.FindStringSubmatch(name); match != nil {
		kind, chip, version, arch = match[3], cmp.Or(match[1], match[2]), match[4], match[5]
	} else if match := mcuName.FindStringSubmatch(name); match != nil {
		kind, chip, version = string(MCU), match[1], match[2]
	}
	for _, other := range otherNames {
		if other.name.MatchString(name) {
			return Package{}, errors.New(other.reason)
		}
	}
	if kind == "" {
		return Package{}, fmt.Errorf("%.120q %w", name, errUnknownName)
	}
	parsed, err := ascend.ParseVersion(version)
	if err != nil {
		return Package{}, fmt.Errorf("%.120q %w: %w", name, errUnknownName, err)
	}
	return Package{Kind: Kind(strings.ToLower(kind)), Chip: chipNamed(chip), Arch: archNamed(arch), Version: parsed}, nil
}

// defaultArch is a package's architecture: a driver is always for one, so it is "" if
// none is named; others run anywhere if none is.
func defaultArch(p Package) string {
	switch {
	case p.Kind != Driver:
		return cmp.Or(p.Arch, NoArch)
	case p.Arch == NoArch:
		return ""
	}
	return p.Arch
}

// archNamed is an architecture as uname -m says it, "" for none.
func archNamed(arch string) string {
	arch = strings.ToLower(arch)
	if known, other := archNames[arch]; other {
		return known
	}
	return arch
}

// knownArch is an architecture that a package's content names, as uname -m says it, ""
// for none. What is named there may be anything.
func knownArch(name string) (string, error) {
	switch arch := archNamed(name); arch {
	case "", "aarch64", "x86_64", NoArch:
		return arch, nil
	}
	return "", fmt.Errorf("the architecture %.40q is not one that is known; put a package for aarch64 or x86_64 here", name)
}

// chipNamed is the chip that a package's name or label means.
func chipNamed(name string) ascend.Chip {
	switch name = strings.ToLower(name); name {
	case "a2":
		return ascend.Chip910B
	case "a3", "910-93":
		return ascend.Chip910_93
	case "a5":
		return ascend.Chip950
	}
	return ascend.Chip(name)
}
