// Package repository is where HDK packages come from: an index.json and the
// packages it names, in a folder, behind an HTTP(S) URL or in an object store;
// and the cache in which a host keeps those it fetched.
//
// It is for the executor that installs packages and for the command that makes
// an index. It promises that what Fetch returns has the size and the SHA-256
// that the index declares, and it runs nothing.
package repository

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// IndexFile is the name of the index in a repository.
const IndexFile = "index.json"

// Bounds of what is read.
const (
	MaxIndex    = 4 << 20 // bytes of an index
	MaxPackage  = 1 << 40 // bytes of one package
	maxPackages = 10_000  // of one index
)

// Kind is what a package installs.
type Kind string

// The kinds of packages that are used; an index may have others.
const (
	Driver   Kind = "driver"
	Firmware Kind = "firmware"
	MCU      Kind = "mcu" // the image of the cards' management controller
)

// Format is how a package is packed.
type Format string

// The formats. An image is what npu-smi itself writes into a card: an .hpm, or
// the zip in which Huawei gives it together with its signature.
const (
	Run   Format = "run"
	RPM   Format = "rpm"
	Deb   Format = "deb"
	Image Format = "image"
)

// NoArch is the arch of a package that runs on any host.
const NoArch = "noarch"

// Index is the content of an index.json.
type Index struct {
	Releases []Release `json:"releases"`
}

// Release is an HDK release, named after its driver. One that is for several
// chips or architectures has a package of a kind for each.
type Release struct {
	Version  ascend.Version `json:"version"`
	Packages []Package      `json:"packages"`
}

// Package is one file of a repository.
type Package struct {
	Kind    Kind           `json:"kind"`
	Chip    ascend.Chip    `json:"chip"`
	Arch    string         `json:"arch"` // as uname -m says it, or NoArch
	Version ascend.Version `json:"version"`
	File    string         `json:"file"` // below the repository; parts of the path are parted by slashes
	Size    int64          `json:"size"` // bytes
	SHA256  string         `json:"sha256"`
	// Requires are the ranges in which the other kind's version must be, as the
	// package declares them; "" if it declares none.
	Requires string `json:"requires,omitempty"`
}

// Format is read from the file's name; "" if it has another ending.
func (p Package) Format() Format {
	switch ext := strings.ToLower(path.Ext(p.File)); ext {
	case ".run", ".rpm", ".deb":
		return Format(ext[1:])
	case ".hpm", ".zip":
		return Image
	}
	return ""
}

var (
	filePattern   = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}(?:/[A-Za-z0-9][A-Za-z0-9._+-]{0,127}){0,4}$`)
	wordPattern   = lazyregexp.New(`^[A-Za-z0-9_-]{0,32}$`)
	digestPattern = lazyregexp.New(`^[0-9a-f]{64}$`)
)

// ParseIndex reads an index.json. Unknown fields and kinds are passed over;
// everything that is used must be valid. Versions are put in lower case.
func ParseIndex(data []byte) (Index, error) {
	var index Index
	if len(data) > MaxIndex {
		return index, fmt.Errorf("%s is larger than %d bytes", IndexFile, MaxIndex)
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return Index{}, fmt.Errorf("%s: %w", IndexFile, err)
	}
	packages := 0
	for i := range index.Releases {
		r := &index.Releases[i]
		if packages += len(r.Packages); packages > maxPackages {
			return Index{}, fmt.Errorf("%s names more than %d packages", IndexFile, maxPackages)
		}
		if err := r.check(); err != nil {
			return Index{}, fmt.Errorf("%s: release %d: %w", IndexFile, i+1, err)
		}
	}
	return index, nil
}

func (r *Release) check() (err error) {
	if r.Version, err = ascend.ParseVersion(string(r.Version)); err != nil {
		return err
	}
	for i := range r.Packages {
		if err := r.Packages[i].check(); err != nil {
			return fmt.Errorf("package %d: %w", i+1, err)
		}
	}
	return nil
}

func (p *Package) check() (err error) {
	if p.Version, err = ascend.ParseVersion(string(p.Version)); err != nil {
		return err
	}
	if _, err := ascend.ParseRanges(p.Requires); err != nil {
		return fmt.Errorf("requires: %w", err)
	}
	p.Requires = strings.Join(strings.Fields(p.Requires), " ") // what parts ranges may be a control character
	p.SHA256 = strings.ToLower(p.SHA256)
	switch {
	case !filePattern.MatchString(p.File):
		return fmt.Errorf("file %.80q is not a plain name below the repository", p.File)
	case !wordPattern.MatchString(p.Arch):
		return fmt.Errorf("%s: arch %.40q has something else than letters, digits, _ and -", p.File, p.Arch)
	case !wordPattern.MatchString(string(p.Chip)):
		return fmt.Errorf("%s: chip %.40q has something else than letters, digits, _ and -", p.File, p.Chip)
	case !digestPattern.MatchString(p.SHA256):
		return fmt.Errorf("%s: sha256 %.80q is not 64 hexadecimal digits", p.File, p.SHA256)
	case p.Size <= 0 || p.Size > MaxPackage:
		return fmt.Errorf("%s: size %d is not between 1 and %d", p.File, p.Size, MaxPackage)
	}
	return nil
}

// Find lists the packages of a kind and version that a host with this chip and
// architecture can take, each file once: those of the release first, then those
// of other releases.
func (x Index) Find(release ascend.Version, kind Kind, chip ascend.Chip, arch string, version ascend.Version) []Package {
	var found []Package
	for _, own := range []bool{true, false} {
		for _, r := range x.Releases {
			if (r.Version == release) == own {
				found = append(found, r.fitting(kind, chip, arch, version)...)
			}
		}
	}
	return unique(found)
}

// Of lists the packages of one kind in a release that a host with this chip and
// architecture can take, each file once. known is false if there is no such
// release.
func (x Index) Of(release ascend.Version, kind Kind, chip ascend.Chip, arch string) (found []Package, known bool) {
	for _, r := range x.Releases {
		if r.Version == release {
			known = true
			found = append(found, r.fitting(kind, chip, arch, "")...)
		}
	}
	return unique(found), known
}

// fitting are the packages a host can take; version "" is any.
func (r Release) fitting(kind Kind, chip ascend.Chip, arch string, version ascend.Version) []Package {
	var found []Package
	for _, p := range r.Packages {
		if p.Kind == kind && p.Chip == chip && (p.Arch == arch || p.Arch == NoArch) && (version == "" || p.Version == version) {
			found = append(found, p)
		}
	}
	return found
}

func unique(packages []Package) []Package {
	var kept []Package
	seen := map[string]bool{}
	for _, p := range packages {
		if !seen[p.SHA256] {
			seen[p.SHA256] = true
			kept = append(kept, p)
		}
	}
	return kept
}
