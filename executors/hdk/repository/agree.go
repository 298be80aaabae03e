package repository

import (
	"cmp"
	"fmt"
	"slices"
)

// contradiction is the first thing that is said of a package, by its name or an index,
// and that its content contradicts; what is "" if there is none. What is not said, on
// either side, contradicts nothing, and neither does content that is for any architecture.
func contradiction(p Package, found findings) (what, said, content string) {
	if p.Chip != "" && len(found.chips) > 0 && !slices.Contains(found.chips, p.Chip) {
		return "chip", string(p.Chip), chipNames(found.chips)
	}
	arch, err := found.archOf(cmp.Or(found.Kind, p.Kind))
	switch {
	case err != nil:
		arch = fmt.Sprintf("%.40q", found.scene)
	case arch == NoArch:
		arch = ""
	}
	for _, fact := range []struct{ what, said, content string }{
		{"kind", string(p.Kind), string(found.Kind)},
		{"architecture", p.Arch, arch},
		{"version", string(p.Version), string(found.Version)},
	} {
		if fact.said != "" && fact.content != "" && fact.said != fact.content {
			return fact.what, fact.said, fact.content
		}
	}
	return "", "", ""
}

// agreed is what name and content say together. Where both speak they must say the same.
func agreed(p Package, found findings) (Package, error) {
	if p.Arch == NoArch && p.Kind == Driver {
		p.Arch = ""
	}
	kind := cmp.Or(p.Kind, found.Kind)
	arch, err := found.archOf(kind)
	if err != nil {
		return p, fmt.Errorf("its scene.info: %w", err)
	}
	if what, named, content := contradiction(p, found); what != "" {
		return p, fmt.Errorf("its name says %s %s, its content %s; give it its name back, or download it again", what, named, content)
	}
	if p.Chip == "" && len(found.chips) > 1 {
		return p, fmt.Errorf("its content is for the chips %s, and its name does not say for which; give it its name back", chipNames(found.chips))
	}
	p.Kind = kind
	p.Chip = cmp.Or(p.Chip, found.chip())
	p.Arch = cmp.Or(p.Arch, arch)
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
