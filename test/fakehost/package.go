package fakehost

import (
	"cmp"
	"fmt"
	"strings"
)

// The kinds of packages.
const (
	Driver   = "driver"
	Firmware = "firmware"
	MCU      = "mcu"
)

// The formats of packages. An rpm or deb of a fake host is real in its metadata, and
// its payload is the archive of the run package: the host's rpm and dpkg run it as the
// scripts that a real one brings, which are the same installer.
const (
	Run = "run"
	RPM = "rpm"
	Deb = "deb"
	HPM = "hpm" // an MCU's image
	Zip = "zip" // the image and its signature
)

// Magic is how a file of a format begins; "" for those that begin as they like.
var Magic = map[string]string{RPM: "\xed\xab\xee\xdb", Deb: "!<arch>\n", HPM: "ASCEND-MCU "}

// Package describes an HDK package to build.
type Package struct {
	Kind    string // Driver, Firmware or MCU
	Format  string // if empty, Run; an MCU's is HPM or Zip
	Chip    string // 910b, 910_93, 310p, 310b
	Arch    string // uname -m; if empty, this machine's. Firmware has none.
	Version string
	// Requires is the ranges of the other kind's version, "[7.0.0,7.9.99]", that
	// version.info declares; if empty it declares none.
	Requires string
	// Pad is how many bytes that do not compress the archive carries besides.
	Pad int64
}

// Packages describes the driver and the firmware of a release for a model, in this
// order, with the ranges that published packages declare.
func (r Release) Packages(m Model) ([]Package, error) {
	p, err := m.Profile()
	if err != nil {
		return nil, err
	}
	wants := "[7.0.0,8.9.9]"
	if versionLess(r.Driver, "25.0") {
		wants = "[6.4.0,6.4.99],[7.0.0,7.6.99]"
	}
	return []Package{
		{Kind: Driver, Chip: p.Chip, Version: r.Driver, Requires: wants},
		{Kind: Firmware, Chip: p.Chip, Version: r.Firmware},
	}, nil
}

// FileName is the package's name as Huawei names it: after the chip, and from A3 on
// after the product.
func (p Package) FileName() string {
	switch arch := strings.ReplaceAll(p.arch(), "_", "-"); {
	case p.Kind == MCU:
		return fmt.Sprintf("Ascend-hdk-%s-mcu_%s.%s", p.product(), p.Version, p.format())
	case p.Format == RPM:
		return fmt.Sprintf("%s-%s-%s-1.%s.rpm", p.family(), p.Kind, p.Version, arch)
	case p.Kind == Firmware:
		return fmt.Sprintf("%s-firmware_%s.%s", p.family(), p.Version, p.format())
	default:
		return fmt.Sprintf("%s-driver_%s_linux-%s.%s", p.family(), p.Version, arch, p.format())
	}
}

// product is the chip, or the product that it is only sold in.
func (p Package) product() string {
	switch p.Chip {
	case "910_93":
		return "A3"
	case "950":
		return "A5"
	}
	return p.Chip
}

// family is how the names of the driver and the firmware begin.
func (p Package) family() string {
	if product := p.product(); product != p.Chip {
		return "Atlas-" + product + "-hdk-npu"
	}
	return "Ascend-hdk-" + p.Chip + "-npu"
}

// MetadataName is what an rpm calls itself, and in lower case a deb.
func (p Package) MetadataName() string {
	if p.product() != p.Chip {
		return p.family() + "-" + p.Kind
	}
	return "Ascend" + strings.ToUpper(p.Chip) + "-" + p.Kind
}

func (p Package) format() string {
	if p.Kind == MCU {
		return cmp.Or(p.Format, HPM)
	}
	return cmp.Or(p.Format, Run)
}

func (p Package) arch() string {
	switch {
	case p.Kind != Driver:
		return "noarch"
	case p.Arch == "":
		return machineArch()
	}
	return p.Arch
}
