package diagnosis

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"devserver-agent/executors/ascend"
)

// dkms finds kernels for which DKMS has built no driver: the running one, and the
// one that boots next. Its tree is read as dkms(8) lays it out.
type dkms struct{}

const (
	dkmsTree = "var/lib/dkms/davinci_ascend"
	rebuild  = "Install the kernel's headers and run dkms autoinstall, or install the HDK again."
)

func (dkms) look(_ context.Context, s *survey) []Finding {
	files := s.host.Files()
	if !exists(files, dkmsTree) {
		return []Finding{{Grade: Skip, What: "the driver was not installed through DKMS"}}
	}
	running := ascend.Kernel(files)
	if running == "" {
		return []Finding{{Grade: Skip, What: "the running kernel is not known"}}
	}
	var found []Finding
	if !built(files, running) {
		f := Finding{Warn, fmt.Sprintf("DKMS has built no driver for the running kernel %s; another build of it is loaded", running), rebuild}
		if len(s.cards()) == 0 {
			f = Finding{Fail, fmt.Sprintf("DKMS has built no driver for the running kernel %s", running), rebuild}
		}
		found = append(found, f)
	}
	if next := nextKernel(files); next != "" && next != running && !built(files, next) {
		found = append(found, Finding{Warn, fmt.Sprintf("DKMS has built no driver for %s, which boots next", next), rebuild})
	}
	return found
}

// built reports whether a module is there for a kernel, in the tree's form
// version/kernel/architecture/module.
func built(files fs.FS, kernel string) bool {
	modules, err := fs.Glob(files, path.Join(dkmsTree, "*", glob(kernel), "*", "module", "*.ko*"))
	return err == nil && len(modules) > 0
}

// glob is a pattern that matches text only.
func glob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}

// nextKernel is the kernel of grub's saved entry where that names an installed one,
// as it does on hosts with boot loader entries; "" where it does not.
func nextKernel(files fs.FS) string {
	for line := range strings.Lines(ascend.Head(files, "boot/grub2/grubenv")) {
		entry, is := strings.CutPrefix(strings.TrimSpace(line), "saved_entry=")
		if !is {
			continue
		}
		// Entries are named MACHINE-ID-KERNEL.
		if _, kernel, cut := strings.Cut(entry, "-"); cut && exists(files, path.Join("lib/modules", kernel)) {
			return kernel
		}
	}
	return ""
}
