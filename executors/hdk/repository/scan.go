package repository

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// Names of packages as Huawei gives them, such as
// Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run,
// Ascend-hdk-910b-npu-driver-25.5.2-1.aarch64.rpm,
// Atlas-A5-hdk-npu-firmware_7.8.0.7.220.run and
// Ascend-hdk-910b-mcu_25.50.10.hpm, which is also given as a zip.
var (
	packageName = lazyregexp.New(`(?i)^(?:Ascend-hdk-([a-z0-9_]+)-npu|Atlas-(A5)-hdk-npu)-(driver|firmware)(?:-soc)?[_-]([0-9][0-9a-z.]*?)(?:-[0-9]+)?(?:[._](?:linux-)?(aarch64|arm64|x86-64|x86_64|amd64|noarch|all))?\.(?:run|rpm|deb)$`)
	mcuName     = lazyregexp.New(`(?i)^Ascend-hdk-([a-z0-9_]+)-mcu_([0-9][0-9.]*)\.(?:hpm|zip)$`)
)

// archNames are the names of architectures that are not those of uname -m.
var archNames = map[string]string{"": NoArch, "all": NoArch, "arm64": "aarch64", "x86-64": "x86_64", "amd64": "x86_64"}

// ParseName reads what a package's file name tells: kind, chip, arch, version.
func ParseName(name string) (Package, error) {
	kind, chip, version, arch := "", "", "", ""
	if match := packageName.FindStringSubmatch(name); match != nil {
		kind, chip, version, arch = match[3], cmp.Or(match[1], match[2]), match[4], strings.ToLower(match[5])
	} else if match := mcuName.FindStringSubmatch(name); match != nil {
		kind, chip, version = string(MCU), match[1], match[2]
	} else {
		return Package{}, fmt.Errorf("%.120q is not named as an HDK package", name)
	}
	parsed, err := ascend.ParseVersion(version)
	if err != nil {
		return Package{}, err
	}
	p := Package{Kind: Kind(strings.ToLower(kind)), Version: parsed, Arch: arch}
	if name, other := archNames[arch]; other {
		p.Arch = name
	}
	switch chip := strings.ToLower(chip); chip {
	case "a2":
		p.Chip = ascend.Chip910B
	case "a3":
		p.Chip = ascend.Chip910_93
	case "a5":
		p.Chip = ascend.Chip950
	default:
		p.Chip = ascend.Chip(chip)
	}
	if p.Kind == Driver && p.Arch == NoArch {
		return Package{}, fmt.Errorf("%.120q names no architecture", name)
	}
	return p, nil
}

// Scan makes the index of a folder from its packages: what the names say, sizes,
// digests, and the ranges declared in the archives. Packages in one subfolder
// belong together. Elsewhere a release is a driver with the firmware that it was
// published with, or, where that is not known or not there, with every firmware
// that may run with it by the ranges that the two declare; and an MCU's image is
// listed with every driver of its chip, as nothing tells with which it belongs. notes say what was left out
// and what could not be read.
func Scan(files fs.FS) (index Index, notes []string, err error) {
	byFolder := map[string][]Package{}
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || (Package{File: name}).Format() == "" {
			return nil
		}
		p, note, err := describe(files, name)
		if note != "" {
			notes = append(notes, note)
		}
		if err == nil && p.File != "" {
			byFolder[path.Dir(name)] = append(byFolder[path.Dir(name)], p)
		}
		return err
	})
	if err != nil {
		return Index{}, notes, err
	}
	for folder, packages := range byFolder {
		releases, alone := group(packages, folder != ".")
		index.Releases = append(index.Releases, releases...)
		for _, p := range alone {
			notes = append(notes, p.File+": no driver here goes with it; it is left out")
		}
	}
	slices.SortFunc(index.Releases, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Packages[0].File, b.Packages[0].File))
	})
	slices.Sort(notes)
	return index, notes, nil
}

// describe reads one package. A file that is none has no File and a note.
func describe(files fs.FS, name string) (p Package, note string, err error) {
	p, err = ParseName(path.Base(name))
	if err != nil {
		return Package{}, fmt.Sprintf("%s: left out: %v", name, err), nil
	}
	if !filePattern.MatchString(name) {
		return Package{}, name + ": left out: its name or folder has letters that are not used in an index", nil
	}
	file, err := files.Open(name)
	if err != nil {
		return Package{}, "", err
	}
	defer file.Close()
	sum := sha256.New()
	if p.Size, err = io.Copy(sum, file); err != nil {
		return Package{}, "", fmt.Errorf("read %s: %w", name, err)
	}
	p.File, p.SHA256 = name, hex.EncodeToString(sum.Sum(nil))
	switch {
	case p.Kind == MCU:
		return p, "", nil
	case p.Format() != Run:
		return p, name + ": an rpm or deb is not looked into; it is listed without ranges", nil
	}
	again, err := files.Open(name)
	if err != nil {
		return Package{}, "", err
	}
	defer again.Close()
	info, err := VersionInfo(again)
	switch {
	case err != nil:
		return p, fmt.Sprintf("%s: %v; it is listed without ranges", name, err), nil
	case info.Version != p.Version:
		return Package{}, fmt.Sprintf("%s: left out: its version.info says %s", name, info.Version), nil
	}
	p.Requires = info.Values["compatible_version_fw"]
	if p.Kind == Firmware {
		p.Requires = info.Values["compatible_version_drv"]
	}
	if err := p.check(); err != nil {
		return Package{}, fmt.Sprintf("%s: left out: %v", name, err), nil
	}
	return p, "", nil
}

// group makes releases of the packages of one folder. Those that belong
// together are not asked for their ranges.
func group(packages []Package, together bool) (releases []Release, alone []Package) {
	used := map[string]bool{}
	byVersion := map[ascend.Version]*Release{}
	var order []ascend.Version
	for _, p := range packages {
		if p.Kind != Driver {
			continue
		}
		if byVersion[p.Version] == nil {
			byVersion[p.Version] = &Release{Version: p.Version}
			order = append(order, p.Version)
		}
		r := byVersion[p.Version]
		r.Packages = append(r.Packages, p)
		for _, fw := range packages {
			listed := slices.ContainsFunc(r.Packages, func(q Package) bool { return q.File == fw.File })
			goes := fw.Kind == MCU || fw.Kind == Firmware && (together || p.goesWith(fw, packages))
			if goes && fw.Chip == p.Chip && !listed {
				r.Packages = append(r.Packages, fw)
				used[fw.File] = true
			}
		}
	}
	for _, v := range order {
		releases = append(releases, *byVersion[v])
	}
	for _, p := range packages {
		if p.Kind != Driver && !used[p.File] {
			alone = append(alone, p)
		}
	}
	return releases, alone
}

// goesWith reports whether a driver is released with a firmware of its folder.
func (p Package) goesWith(fw Package, folder []Package) bool {
	pair, known := published[p.Version]
	there := slices.ContainsFunc(folder, func(q Package) bool {
		return q.Kind == Firmware && q.Chip == p.Chip && q.Version == pair
	})
	if known && there {
		return fw.Version == pair
	}
	return p.suits(fw)
}

// suits reports whether neither package declares that it does not go with the
// other.
func (p Package) suits(other Package) bool {
	return p.Admits(other.Version) != No && other.Admits(p.Version) != No
}

// Answer is what a package's ranges say of a version.
type Answer int

// The answers; Silent is that of a package that declares nothing.
const (
	Silent Answer = iota
	Yes
	No
)

// Admits says whether a version of the other kind is in one of the package's
// ranges.
func (p Package) Admits(other ascend.Version) Answer {
	ranges, err := ascend.ParseRanges(p.Requires)
	if err != nil || len(ranges) == 0 {
		return Silent // an index with ranges that are none was refused
	}
	for _, r := range ranges {
		if r.Contains(other) {
			return Yes
		}
	}
	return No
}

// WriteIndex puts an index.json into a folder, whole or not at all.
func WriteIndex(dir string, data []byte) error { return writeFile(dir, IndexFile, data) }

// WriteSignedIndex puts a signed index into a folder, whole or not at all.
func WriteSignedIndex(dir string, data []byte) error { return writeFile(dir, SignedIndexFile, data) }

func writeFile(dir, name string, data []byte) error {
	temp, err := os.CreateTemp(dir, ".index-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path.Join(dir, name))
}
