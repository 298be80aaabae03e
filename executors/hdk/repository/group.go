package repository

import (
	"slices"

	"devserver-agent/executors/ascend"
)

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
