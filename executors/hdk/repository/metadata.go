package repository

import (
	"fmt"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// What an rpm or deb calls itself: Ascend910B-driver, ascend910b-driver,
// Ascend-hdk-A3-npu-driver, Atlas-A3-hdk-npu-driver. The chip is one that is known; the
// letters of others are passed over.
var (
	metadataKind = lazyregexp.New(`(?i)(?:^|[-_])(driver|firmware)(?:[-_]|$)`)
	metadataChip = lazyregexp.New(`(?i)^(?:Ascend-?(?:hdk-)?|Atlas-?(?:hdk-)?)([a-z0-9]+(?:[-_]93)?)-`)
	release      = lazyregexp.New(`-[0-9][A-Za-z0-9.+~]*$`)
)

// fromMetadata reads what a package manager is given to know of a package.
func fromMetadata(format, name, version, arch string) (f findings, err error) {
	kind := metadataKind.FindStringSubmatch(name)
	if kind == nil {
		return f, fmt.Errorf("is the %s of a package %.80q, which is not a driver or a firmware; keep it elsewhere", format, name)
	}
	f.Kind = Kind(strings.ToLower(kind[1]))
	if chip := metadataChip.FindStringSubmatch(name); chip != nil {
		f.addChip(chipNamed(chip[1]))
	}
	if f.Version, err = ascend.ParseVersion(release.ReplaceAllString(version, "")); err != nil {
		return f, fmt.Errorf("the %s's metadata: the version %w", format, err)
	}
	if f.Arch, err = knownArch(arch); err != nil {
		return f, fmt.Errorf("the %s's metadata: %w", format, err)
	}
	return f, nil
}
