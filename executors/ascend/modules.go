package ascend

import (
	"io/fs"
	"path"
	"strings"
)

// DKMSTree is the driver's folder in DKMS's tree, which dkms(8) lays out as
// version/kernel/architecture/module.
const DKMSTree = "var/lib/dkms/davinci_ascend"

// added are where depmod(8) looks for modules that were added to a kernel.
var added = []string{"updates/drv_*.ko*", "updates/*/drv_*.ko*", "extra/drv_*.ko*"}

// BuiltByDKMS reports whether DKMS has built the driver's modules for a kernel.
func BuiltByDKMS(files fs.FS, kernel string) bool {
	return anyFile(files, path.Join(DKMSTree, "*", verbatim(kernel), "*", "module", "*.ko*"))
}

// HasDriver reports whether a kernel has the driver's modules, from DKMS or from an
// installer.
func HasDriver(files fs.FS, kernel string) bool {
	for _, pattern := range added {
		if anyFile(files, path.Join("lib/modules", verbatim(kernel), pattern)) {
			return true
		}
	}
	return BuiltByDKMS(files, kernel)
}

func anyFile(files fs.FS, pattern string) bool {
	found, err := fs.Glob(files, pattern)
	return err == nil && len(found) > 0
}

// verbatim is a pattern that matches text only.
func verbatim(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}
