package diagnosis

import (
	"context"
	"fmt"

	"devserver-agent/executors/ascend"
)

// dkms finds kernels for which DKMS has built no driver: the running one, and the
// one that boots next. Its tree is read as dkms(8) lays it out.
type dkms struct{}

const (
	rebuild = "Install the kernel's headers and run dkms autoinstall, or install the HDK again."
)

func (dkms) run(ctx context.Context, p *probe) (string, []Finding) {
	files := p.host.Files()
	if !exists(files, ascend.DKMSTree) {
		return "/" + ascend.DKMSTree, []Finding{{Grade: Skip, What: "the driver was not installed through DKMS"}}
	}
	running := ascend.Kernel(files)
	if running == "" {
		return "/" + ascend.DKMSTree, []Finding{{Grade: Skip, What: "the running kernel is not known"}}
	}
	var found []Finding
	switch {
	case ascend.BuiltByDKMS(files, running):
	case ascend.HasDriver(files, running):
		found = append(found, Finding{Grade: Info, What: fmt.Sprintf("the driver of the running kernel %s was not built by DKMS", running)})
	case len(p.cards()) == 0:
		found = append(found, Finding{Fail, fmt.Sprintf("DKMS has built no driver for the running kernel %s", running), rebuild})
	default:
		found = append(found, Finding{Warn, fmt.Sprintf("DKMS has built no driver for the running kernel %s; another build of it is loaded", running), rebuild})
	}
	next, how := p.node.NextKernel(ctx)
	if next == "" {
		if how != "" {
			found = append(found, Finding{Grade: Info, What: "which kernel boots next is not known: " + how})
		}
		return "kernel " + running, found
	}
	if next != running && !ascend.HasDriver(files, next) {
		found = append(found, Finding{Warn, fmt.Sprintf("DKMS has built no driver for %s, which boots next (%s)", next, how), "Before the next restart: " + rebuild})
	}
	return "kernel " + running + ", next " + next, found
}
