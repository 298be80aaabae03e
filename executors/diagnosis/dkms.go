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

func (dkms) run(ctx context.Context, p *probe) (string, []Finding) {
	files := p.host.Files()
	if !exists(files, dkmsTree) {
		return "/" + dkmsTree, []Finding{{Grade: Skip, What: "the driver was not installed through DKMS"}}
	}
	running := ascend.Kernel(files)
	if running == "" {
		return "/" + dkmsTree, []Finding{{Grade: Skip, What: "the running kernel is not known"}}
	}
	var found []Finding
	if !built(files, running) {
		f := Finding{Warn, fmt.Sprintf("DKMS has built no driver for the running kernel %s; another build of it is loaded", running), rebuild}
		if len(p.cards()) == 0 {
			f = Finding{Fail, fmt.Sprintf("DKMS has built no driver for the running kernel %s", running), rebuild}
		}
		found = append(found, f)
	}
	next, how := p.node.NextKernel(ctx)
	if next == "" {
		return "kernel " + running, found
	}
	if next != running && !built(files, next) {
		found = append(found, Finding{Warn, fmt.Sprintf("DKMS has built no driver for %s, which boots next as %s says", next, how), "Before the next restart: " + rebuild})
	}
	return "kernel " + running + ", next " + next, found
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
