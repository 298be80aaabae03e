package repository

import (
	"cmp"
	"fmt"
	"slices"
)

// agreed is what name and content say together. Where both speak they must say the same.
func agreed(p Package, found findings) (Package, error) {
	switch {
	case len(found.chips) == 0 || slices.Contains(found.chips, p.Chip):
	case p.Chip != "":
		return p, disagreement("chip", string(p.Chip), chipNames(found.chips))
	case len(found.chips) > 1:
		return p, fmt.Errorf("its content is for the chips %s, and its name does not say for which; give it its name back", chipNames(found.chips))
	}
	if p.Arch == NoArch && p.Kind == Driver {
		p.Arch = ""
	}
	for _, fact := range []struct{ what, named, found string }{
		{"kind", string(p.Kind), string(found.Kind)},
		{"architecture", p.Arch, found.Arch},
		{"version", string(p.Version), string(found.Version)},
	} {
		if fact.named != "" && fact.found != "" && fact.named != fact.found {
			return p, disagreement(fact.what, fact.named, fact.found)
		}
	}
	p.Kind = cmp.Or(p.Kind, found.Kind)
	p.Chip = cmp.Or(p.Chip, found.chip())
	p.Arch = cmp.Or(p.Arch, found.Arch)
	p.Version = cmp.Or(p.Version, found.Version)
	p.Requires = found.Requires
	missing := ""
	switch {
	case p.Kind == "":
		missing = "whether it is a driver or a firmware"
	case p.Chip == "":
		missing = "which chip it is for"
	case defaultArch(p) == "":
		missing = "which architecture it is for"
	}
	if missing != "" {
		return p, fmt.Errorf("neither its name nor its content says %s; give it the name that Huawei gave it", missing)
	}
	return p, nil
}

func disagreement(what, named, found string) error {
	return fmt.Errorf("its name says %s %s, its content %s; give it its name back, or download it again", what, named, found)
}
