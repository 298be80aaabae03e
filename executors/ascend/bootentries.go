package ascend

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// bootEntry is an entry of the Boot Loader Specification (UAPI.1), type 1: a file of
// lines "key value", with any blanks between them.
type bootEntry struct {
	name    string // of the file, without .conf
	title   string
	image   string
	version string
	sortKey string
}

// bootEntries are the host's entries in any of the folders.
func bootEntries(files fs.FS, folders ...string) []bootEntry {
	var entries []bootEntry
	for _, folder := range folders {
		names, err := fs.Glob(files, path.Join(folder, "*.conf"))
		if err != nil {
			continue
		}
		for _, name := range names {
			e := bootEntry{name: strings.TrimSuffix(path.Base(name), ".conf")}
			for line := range lines(small(files, name)) {
				key, value := keyAndValue(line)
				switch key {
				case "linux":
					e.image = value
				case "version":
					e.version = value
				case "title":
					e.title = value
				case "sort-key":
					e.sortKey = value
				}
			}
			entries = append(entries, e)
		}
	}
	return entries
}

// keyAndValue takes a line of the loader's files apart, "" for a comment.
func keyAndValue(line string) (key, value string) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return "", ""
	}
	if at := strings.IndexAny(line, " \t"); at >= 0 {
		return line[:at], strings.TrimSpace(line[at:])
	}
	return line, ""
}

// release is the kernel that the entry starts, or why none is known.
func (e bootEntry) release(files fs.FS) (release, why string) {
	if e.image == "" {
		return "", "starts no kernel of this host"
	}
	if release := imageRelease(files, e.image); release != "" {
		return release, ""
	}
	if kernelOf("vmlinuz-"+e.version) != "" {
		return e.version, ""
	}
	return "", fmt.Sprintf("loads %s, which names no release", clip(e.image, maxSaid))
}

// grubEntries are the entries that GRUB's command blscfg puts into its menu, by the names
// of their files, the newest first, so that rescue images come last.
func grubEntries(files fs.FS) []grubEntry {
	entries := bootEntries(files, "boot/loader/entries")
	slices.SortStableFunc(entries, func(a, b bootEntry) int { return compareReleases(b.name, a.name) })
	var menu []grubEntry
	for _, e := range entries {
		shown := grubEntry{title: cmp.Or(e.title, e.name), id: e.name}
		if release, why := e.release(files); why == "" {
			shown.images = []string{"vmlinuz-" + release}
		} else if e.image != "" {
			shown.images = []string{e.image}
		}
		menu = append(menu, shown)
	}
	return menu
}

// systemd-boot's folders: of the EFI system partition, wherever it is mounted, and of
// the extended boot loader partition.
var loaderFolders = []string{"boot/loader", "boot/efi/loader", "efi/loader"}

// EFI variables that systemd-boot takes its default from before loader.conf
// (systemd-boot(7)).
var loaderVariables = []string{"LoaderEntryOneShot", "LoaderEntryDefault"}

const loaderVendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// loaderChoice is what systemd-boot boots next; known is false for a host without its
// loader.conf and without entries. A default is a pattern for the name of an entry's
// file, in older versions without .conf (loader.conf(5)); the first entry that matches
// is taken.
func loaderChoice(files fs.FS) (choice bootChoice, known bool) {
	var folders []string
	pattern, configuration := "", ""
	for _, folder := range loaderFolders {
		folders = append(folders, path.Join(folder, "entries"))
		name := path.Join(folder, "loader.conf")
		if _, err := fs.Stat(files, name); err != nil || configuration != "" {
			continue
		}
		configuration = "/" + name
		for line := range lines(small(files, name)) {
			if key, value := keyAndValue(line); key == "default" {
				pattern = value
			}
		}
	}
	entries := bootEntries(files, folders...)
	if len(entries) == 0 {
		return bootChoice{}, false
	}
	if configuration != "" {
		for _, name := range loaderVariables {
			if _, err := fs.Stat(files, path.Join("sys/firmware/efi/efivars", name+"-"+loaderVendor)); err == nil {
				return bootChoice{once: name == "LoaderEntryOneShot", how: "the EFI variable " + name + " names the entry that systemd-boot takes"}, true
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b bootEntry) int {
		return cmp.Or(-cmp.Compare(min(len(a.sortKey), 1), min(len(b.sortKey), 1)), strings.Compare(a.sortKey, b.sortKey),
			compareReleases(b.order(files), a.order(files)), compareReleases(b.name, a.name))
	})
	chosen, how := entries[0], "/boot/loader/entries"
	if pattern != "" {
		if strings.HasPrefix(pattern, "@") {
			return bootChoice{how: fmt.Sprintf("%s names %s, which the firmware keeps", configuration, clip(pattern, maxSaid))}, true
		}
		for _, e := range entries {
			full, err := path.Match(pattern, e.name+".conf")
			short, _ := path.Match(pattern, e.name)
			if err != nil {
				return bootChoice{how: fmt.Sprintf("%s has the pattern %s, which is not understood", configuration, clip(pattern, maxSaid))}, true
			}
			if full || short {
				chosen, how = e, configuration
				break
			}
		}
	}
	release, why := chosen.release(files)
	if why != "" {
		return bootChoice{how: fmt.Sprintf("%s: the entry %s %s", how, clip(chosen.name, maxSaid), why)}, true
	}
	return bootChoice{release: release, how: how}, true
}

// order is what an entry is sorted by: its version, or else that of its kernel.
func (e bootEntry) order(files fs.FS) string {
	if release := imageRelease(files, e.image); release != "" {
		return release
	}
	if strings.Contains(e.name, "-rescue") {
		return ""
	}
	return e.version
}
