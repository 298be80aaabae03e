package repository

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"devserver-agent/executors/ascend"
)

// maxMatching bounds the work of making the releases of an index, in comparisons: of two
// packages, or of a version with a range. A hundred drivers and as many firmwares take
// some ten thousand.
const maxMatching = 1_000_000

// matcher makes the releases of an index, folder by folder. It counts, since small files
// with Huawei's names are enough to make a folder where everything goes with everything.
type matcher struct {
	declared map[declarer][]ascend.Range // the first ranges of each that declares any
	listed   int                         // packages of all releases
	compared int
}

// errCrowded says why there is no index, and what to do.
func errCrowded(what string, most int) error {
	return fmt.Errorf("%s more than %d: outside a subfolder a driver is compared and listed with all that may go with it; "+
		"put the packages of each release into a subfolder of their own, or make several repositories", what, most)
}

func (m *matcher) list(n int) error {
	if m.listed += n; m.listed > maxPackages {
		return errCrowded("the packages that the index would list are", maxPackages)
	}
	return nil
}

func (m *matcher) compare(n int) error {
	if n > maxMatching-m.compared {
		return errCrowded("the comparisons of drivers with firmwares are", maxMatching)
	}
	m.compared += n
	return nil
}

// ranged is a package with the ranges that it declares.
type ranged struct {
	Package
	ranges []ascend.Range
}

func newRanged(p Package) ranged {
	ranges, _ := ascend.ParseRanges(p.Requires) // ranges that cannot be read declare nothing, as for Admits
	return ranged{p, ranges}
}

// declarer is what packages have in common of which one may declare ranges for all: an
// rpm or deb declares none, and the .run of the same version does.
type declarer struct {
	kind    Kind
	chip    ascend.Chip
	version ascend.Version
}

// learn notes the ranges that packages declare, before group is called for any of them.
func (m *matcher) learn(packages []Package) {
	m.declared = map[declarer][]ascend.Range{}
	for _, p := range packages {
		of := declarer{p.Kind, p.Chip, p.Version}
		if _, known := m.declared[of]; known || p.Requires == "" {
			continue
		}
		if ranges := newRanged(p).ranges; len(ranges) > 0 {
			m.declared[of] = ranges
		}
	}
}

// ranged is a package with its own ranges, or with those that another of its version
// declares.
func (m *matcher) ranged(p Package) ranged {
	r := newRanged(p)
	if len(r.ranges) == 0 {
		r.ranges = m.declared[declarer{p.Kind, p.Chip, p.Version}]
	}
	return r
}

// compareInRelease orders the packages of one release. A host that takes several
// formats is given a .run first; of two that are the same by all this, hosts take the first,
// so names as Huawei's come first, and the shorter ones of these.
func compareInRelease(a, b Package) int {
	number := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	notRun := func(p Package) int { return number(p.Format() != Run) }
	ofOthers := func(p Package) int {
		_, err := parseName(path.Base(p.File))
		return number(err != nil)
	}
	return cmp.Or(cmp.Compare(a.Chip, b.Chip), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Arch, b.Arch),
		cmp.Compare(notRun(a), notRun(b)), cmp.Compare(a.Format(), b.Format()), cmp.Compare(ofOthers(a), ofOthers(b)), cmp.Compare(len(a.File), len(b.File)), cmp.Compare(a.File, b.File))
}

// group makes releases of the packages of one folder; alone are those that no driver
// goes with. The ranges of packages that belong together do not count. An error says
// that there are too many of them.
func (m *matcher) group(packages []Package, together bool) (releases []Release, alone []Package, err error) {
	others := map[ascend.Chip][]ranged{} // firmwares and images
	for _, p := range packages {
		if p.Kind != Driver {
			others[p.Chip] = append(others[p.Chip], m.ranged(p))
		}
	}
	used := map[string]bool{}
	at := map[ascend.Version]int{} // where a release is
	var has []map[string]bool      // the files of each release besides its drivers
	for _, p := range packages {
		if p.Kind != Driver {
			continue
		}
		n, known := at[p.Version]
		if !known {
			n = len(releases)
			at[p.Version] = n
			releases, has = append(releases, Release{Version: p.Version}), append(has, map[string]bool{})
		}
		belonging, err := m.belonging(m.ranged(p), others[p.Chip], together)
		if err != nil {
			return nil, nil, err
		}
		add := []Package{p}
		for _, other := range belonging {
			if !has[n][other.File] {
				add = append(add, other)
				has[n][other.File], used[other.File] = true, true
			}
		}
		if err := m.list(len(add)); err != nil {
			return nil, nil, err
		}
		releases[n].Packages = append(releases[n].Packages, add...)
	}
	for _, r := range releases {
		slices.SortFunc(r.Packages, compareInRelease)
	}
	for _, p := range packages {
		if p.Kind != Driver && !used[p.File] {
			alone = append(alone, p)
		}
	}
	return releases, alone, nil
}

// belonging are those of the other packages for a driver's chip that are listed with it.
func (m *matcher) belonging(driver ranged, others []ranged, together bool) (found []Package, err error) {
	if err := m.compare(len(others)); err != nil {
		return nil, err
	}
	pair, known := published[driver.Version]
	there := false
	for _, other := range others {
		there = there || known && other.Kind == Firmware && other.Version == pair
	}
	for _, other := range others {
		goes := together || other.Kind == MCU
		switch {
		case goes || other.Kind != Firmware:
		case there:
			goes = other.Version == pair
		default:
			if err := m.compare(len(driver.ranges) + len(other.ranges)); err != nil {
				return nil, err
			}
			goes = driver.suits(other)
		}
		if goes {
			found = append(found, other.Package)
		}
	}
	return found, nil
}

// suits reports whether neither package declares that it does not go with the
// other.
func (p ranged) suits(other ranged) bool {
	return admit(p.ranges, other.Version) != No && admit(other.ranges, p.Version) != No
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
// ranges. Ranges that cannot be read declare nothing; ParseIndex refuses them.
func (p Package) Admits(other ascend.Version) Answer {
	return admit(newRanged(p).ranges, other)
}

func admit(ranges []ascend.Range, version ascend.Version) Answer {
	if len(ranges) == 0 {
		return Silent
	}
	for _, r := range ranges {
		if r.Contains(version) {
			return Yes
		}
	}
	return No
}
