package hdk

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"devserver-agent/executors/ascend"
)

// installWarnings are what often makes an installer fail, and does not always.
func installWarnings(files fs.FS) []finding {
	var found []finding
	if missing := missingTools(files, "tar", "gzip"); len(missing) > 0 {
		found = append(found, warning("the packages are archives that cannot be unpacked without what is not here: %s. Install it before", strings.Join(missing, ", ")))
	}
	missing := missingTools(files, "dkms", "gcc", "make", "lspci", "ifconfig")
	if release := ascend.Kernel(files); release != "" && !exists(files, path.Join("lib/modules", release, "build")) {
		missing = append(missing, "kernel headers of "+release)
	}
	if len(missing) > 0 {
		found = append(found, warning("the installer may need what is not here: %s", strings.Join(missing, ", ")))
	}
	if secure := ascend.Head(files, "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"); len(secure) == 5 && secure[4] == 1 {
		found = append(found, warning("Secure Boot is on: kernel modules that are not signed are not loaded"))
	}
	if transactions(files) {
		found = append(found, warning("a transaction of the package manager is not finished"))
	}
	return found
}

const bootRoom = 64 * mib

// restartWarnings are what may keep the host from coming back as expected.
func restartWarnings(files fs.FS) []finding {
	var found []finding
	if free, err := freeIn(files, "boot"); err == nil && free < bootRoom {
		found = append(found, warning("/boot has %d MiB free: an initrd may not fit", free/mib))
	}
	if exists(files, "run/systemd/system") && !exists(files, "etc/systemd/system/multi-user.target.wants/devserver-agent.service") {
		found = append(found, warning("devserver-agent.service is not enabled: after a restart nobody verifies and reports"))
	}
	return found
}

func missingTools(files fs.FS, names ...string) (missing []string) {
	for _, name := range names {
		if !hasTool(files, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

func hasTool(files fs.FS, name string) bool {
	for _, dir := range []string{"usr/sbin", "usr/bin", "sbin", "bin", "usr/local/bin", "usr/local/sbin"} {
		if exists(files, path.Join(dir, name)) {
			return true
		}
	}
	return false
}

func exists(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return err == nil
}

// kernelWarnings warns if the next start uses another kernel, which has no driver: an
// installer builds it for the running one only.
func kernelWarnings(files fs.FS, next, how string, installs bool) []finding {
	running := ascend.Kernel(files)
	if next == "" && how != "" {
		return []finding{warning("which kernel the next start boots is not known: %s; the driver is built for the running one, %s", how, running)}
	}
	if next == "" || running == "" || next == running || !installs && ascend.HasDriver(files, next) {
		return nil
	}
	return []finding{warning("the next start boots kernel %s (%s), and %s runs: the driver is built for the running one and is not there after the restart. "+
		"Make %s the default, or restart into %s first and upgrade then", next, how, running, running, next)}
}

func transactions(files fs.FS) bool {
	if entries, err := fs.ReadDir(files, "var/lib/dpkg/updates"); err == nil && len(entries) > 0 {
		return true
	}
	left, err := fs.Glob(files, "var/lib/yum/transaction-all*")
	return err == nil && len(left) > 0
}

var errNoDescriptor = errors.New("is not a file of a file system")

// freeIn is how many bytes the file system of a folder of the host has free.
func freeIn(files fs.FS, dir string) (int64, error) {
	file, err := files.Open(dir)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	real, ok := file.(interface{ Fd() uintptr })
	if !ok {
		return 0, errNoDescriptor
	}
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(real.Fd()), &stat); err != nil {
		return 0, err
	}
	return free(stat), nil
}

// freeAt is the same for a path of the agent's own.
func freeAt(dir string) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return free(stat), nil
}

// noExecAt reports whether the file system of a folder of the agent's own is mounted so
// that no file of it can be executed.
func noExecAt(dir string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(dir, &stat) == nil && stat.Flags&unix.ST_NOEXEC != 0
}

func free(stat unix.Statfs_t) int64 { return int64(stat.Bavail) * stat.Bsize }
