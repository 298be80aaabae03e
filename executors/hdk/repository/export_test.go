package repository

// Bounds of an index, for tests.
const (
	MaxPackages = maxPackages
	MaxMatching = maxMatching
)

// Group makes releases of the packages of one folder, and counts the work.
func Group(packages []Package, together bool) (releases []Release, alone []Package, compared int, err error) {
	var m matcher
	releases, alone, err = m.group(packages, together)
	return releases, alone, m.compared, err
}
