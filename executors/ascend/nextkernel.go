package ascend

import (
	"cmp"
	"context"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// NextKernel asks grubby, where a host has it, and then as the function does.
func (n Node) NextKernel(ctx context.Context) (release, how string) {
	reply, err := n.host.Query(ctx, "grubby", "--default-kernel")
	if err == nil && reply.Code == 0 {
		if release := kernelOf(strings.TrimSpace(string(reply.Output))); release != "" {
			return release, "grubby"
		}
	}
	return NextKernel(n.host.Files())
}

// NextKernel is the release of the kernel that the next start of the host boots, and
// what tells so; "" where nothing does, or where the boot loader is told to take an
// entry that cannot be understood. It reads what the boot loader of the host reads:
// grub's environment and configuration and its boot loader entries (systemd's Boot
// Loader Specification), else the link /boot/vmlinuz, else it takes the newest kernel
// in /boot, as the configurations do that distributions generate.
func NextKernel(files fs.FS) (release, how string) {
	entries := loaderEntries(files)
	if entry, how := defaultEntry(files); entry != "" {
		return entryKernel(files, entries, entry), how
	}
	if len(entries) > 0 {
		return entries[0].release, "/boot/loader/entries"
	}
	for _, name := range grubFiles(files, "grub.cfg") {
		if match := grubLinux.FindStringSubmatch(string(small(files, name))); match != nil {
			return kernelOf(match[1]), "/" + name
		}
	}
	for _, link := range []string{"boot/vmlinuz", "vmlinuz", "boot/Image"} {
		if target, err := fs.ReadLink(files, link); err == nil && kernelOf(target) != "" {
			return kernelOf(target), "/" + link
		}
	}
	if installed := bootKernels(files); len(installed) > 0 {
		return installed[0], "the newest kernel in /boot"
	}
	return "", ""
}

// kernelFile names a kernel's image in /boot.
var kernelFile = regexp.MustCompile(`^(?:vmlinuz|vmlinux|Image|kernel)-([0-9][0-9A-Za-z._+~-]{0,127})$`)

// kernelOf is the release in the name of an image, "" if it is none.
func kernelOf(image string) string {
	match := kernelFile.FindStringSubmatch(path.Base(image))
	if match == nil {
		return ""
	}
	return match[1]
}

// grubLinux is the first command of a grub.cfg that loads a kernel: that of its first
// entry.
var grubLinux = regexp.MustCompile(`(?m)^[ \t]*linux(?:16|efi)?[ \t]+(\S+)`)

// grubFiles are the files of grub of a name, those that a host has.
func grubFiles(files fs.FS, name string) []string {
	var found []string
	for _, pattern := range []string{"boot/grub2", "boot/grub", "boot/efi/EFI/*"} {
		names, err := fs.Glob(files, path.Join(pattern, name))
		if err == nil {
			found = append(found, names...)
		}
	}
	return found
}

func small(files fs.FS, name string) []byte {
	data, err := readFile(files, name)
	if err != nil {
		return nil
	}
	return data
}

// defaultEntry is the entry that grub is told to take, "" if it takes its first one,
// and what tells so. next_entry is for one start and counts before all.
func defaultEntry(files fs.FS) (entry, how string) {
	saved, savedIn := "", ""
	for _, name := range grubFiles(files, "grubenv") {
		for line := range strings.Lines(string(small(files, name))) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case key == "next_entry" && value != "":
				return value, "/" + name
			case key == "saved_entry" && value != "" && saved == "":
				saved, savedIn = value, "/"+name
			}
		}
	}
	const defaults = "etc/default/grub"
	wanted := ""
	for line := range strings.Lines(string(small(files, defaults))) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "GRUB_DEFAULT="); ok {
			wanted = strings.Trim(value, `"'`)
		}
	}
	entry, how = wanted, "/"+defaults
	if wanted == "" || wanted == "saved" {
		entry, how = saved, savedIn
	}
	if entry == "0" { // the first one, as without a default
		return "", ""
	}
	return entry, how
}

// entryKernel is the kernel of an entry, by its number among the boot loader's
// entries, its name there, or else by the installed kernel that its title names.
func entryKernel(files fs.FS, entries []loaderEntry, entry string) string {
	if at, err := strconv.Atoi(entry); err == nil {
		if at >= 0 && at < len(entries) {
			return entries[at].release
		}
		return ""
	}
	for _, e := range entries {
		if e.name == strings.TrimSuffix(entry, ".conf") {
			return e.release
		}
	}
	best := ""
	modules, err := fs.ReadDir(files, "lib/modules")
	if err != nil {
		modules = nil // the images tell too
	}
	known := bootKernels(files)
	for _, m := range modules {
		known = append(known, m.Name())
	}
	for _, release := range known {
		if strings.Contains(entry, release) && len(release) > len(best) {
			best = release
		}
	}
	return best
}

type loaderEntry struct{ name, release string }

// loaderEntries are the host's boot loader entries that name a kernel, the newest
// first, as grub orders them.
func loaderEntries(files fs.FS) []loaderEntry {
	names, err := fs.Glob(files, "boot/loader/entries/*.conf")
	if err != nil {
		return nil
	}
	var entries []loaderEntry
	for _, name := range names {
		release := ""
		for line := range strings.Lines(string(small(files, name))) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			value = strings.TrimSpace(value)
			switch {
			case key == "linux" && kernelOf(value) != "":
				release = kernelOf(value)
			case key == "version" && release == "":
				release = value
			}
		}
		if release != "" && !strings.Contains(name, "-rescue") {
			entries = append(entries, loaderEntry{strings.TrimSuffix(path.Base(name), ".conf"), release})
		}
	}
	slices.SortStableFunc(entries, func(a, b loaderEntry) int { return compareReleases(b.release, a.release) })
	return entries
}

// bootKernels are the releases of the images in /boot, the newest first.
func bootKernels(files fs.FS) []string {
	entries, err := fs.ReadDir(files, "boot")
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if release := kernelOf(e.Name()); release != "" && !strings.Contains(release, "rescue") {
			found = append(found, release)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return compareReleases(b, a) })
	return slices.Compact(found)
}

var releasePart = regexp.MustCompile(`[0-9]+|[A-Za-z]+`)

// compareReleases orders kernels part by part, numbers by their value.
func compareReleases(a, b string) int {
	x, y := releasePart.FindAllString(a, -1), releasePart.FindAllString(b, -1)
	for i := range min(len(x), len(y)) {
		m, errX := strconv.ParseUint(x[i], 10, 64)
		n, errY := strconv.ParseUint(y[i], 10, 64)
		switch {
		case errX == nil && errY == nil && m != n:
			return cmp.Compare(m, n)
		case errX == nil && errY == nil:
		case errX == nil:
			return 1 // a number is newer than a word: 6.6.0-10 than 6.6.0-rc1
		case errY == nil:
			return -1
		case x[i] != y[i]:
			return strings.Compare(x[i], y[i])
		}
	}
	return len(x) - len(y)
}
