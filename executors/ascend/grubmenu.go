package ascend

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// bootChoice is the kernel of the next start. how is what names it, or, where release is
// "", why it cannot be known.
type bootChoice struct {
	release, how string
	once         bool // for the next start only, whatever the default is
}

const (
	maxGrubFile = 1 << 20 // bytes
	firmwareEFI = "sys/firmware/efi"
)

// grubChoice is what the GRUB of the host boots next; known is false for a host without
// a grub.cfg. A grub.cfg that only hands over to another, as those on EFI partitions
// often do, is passed over. Where several have a menu, a host that was started by EFI
// uses that of its EFI partition; otherwise they have to agree.
func grubChoice(files fs.FS) (choice bootChoice, known bool) {
	var choices []bootChoice
	var names []string
	for _, name := range grubConfigurations(files) {
		c, menu := readGrub(files, name)
		if !menu {
			continue
		}
		if strings.HasPrefix(name, "boot/efi/") && len(choices) > 0 && !strings.HasPrefix(names[0], "boot/efi/") {
			if _, err := fs.Stat(files, firmwareEFI); err == nil {
				choices, names = nil, nil
			}
		}
		choices, names = append(choices, c), append(names, name)
	}
	if len(choices) == 0 {
		return bootChoice{}, false
	}
	for i, c := range choices {
		if c.release != choices[0].release {
			return bootChoice{once: c.once || choices[0].once, how: fmt.Sprintf("/%s and /%s name different kernels", names[0], names[i])}, true
		}
	}
	return choices[0], true
}

func grubConfigurations(files fs.FS) []string {
	var found []string
	for _, folder := range grubFolders {
		names, err := fs.Glob(files, path.Join(folder, "grub.cfg"))
		if err == nil {
			found = append(found, names...)
		}
	}
	return found
}

// readGrub reads one grub.cfg; menu is false if it has none of its own.
func readGrub(files fs.FS, name string) (choice bootChoice, menu bool) {
	script, err := readGrubFile(files, name)
	if err != nil {
		return bootChoice{how: err.Error()}, true
	}
	g := runGrub(files, path.Dir(name), script)
	if !slices.ContainsFunc(g.entries, grubEntry.real) && g.chained {
		return bootChoice{}, false
	}
	wanted, how := g.wanted(name)
	once := wanted.from == "next_entry"
	if strings.Contains(wanted.text, grubUnknown) {
		return bootChoice{once: once, how: fmt.Sprintf("the default entry of /%s depends on what only GRUB itself knows", name)}, true
	}
	e, first, why := chooseEntry(g.entries, wanted.text)
	if why != "" {
		return bootChoice{once: once, how: fmt.Sprintf("/%s: %s", name, why)}, true
	}
	if first {
		how = "/" + name
	}
	release, why := e.release(files)
	if why != "" {
		return bootChoice{once: once, how: fmt.Sprintf("/%s: the entry %q %s", name, clip(e.title, maxSaid), why)}, true
	}
	return bootChoice{release, how, once}, true
}

// real reports whether the entry is one of the menu, and no mark of others.
func (e grubEntry) real() bool { return e.title != "" || e.submenu || len(e.images) > 0 }

func readGrubFile(files fs.FS, name string) (string, error) {
	f, err := files.Open(name)
	if err != nil {
		return "", fmt.Errorf("read /%s: %w", name, reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxGrubFile+1))
	if err != nil {
		return "", fmt.Errorf("read /%s: %w", name, reason(err))
	}
	if len(data) > maxGrubFile {
		return "", fmt.Errorf("/%s is larger than %d bytes", name, maxGrubFile)
	}
	return string(data), nil
}

// wanted is the entry that the script asks for, and what names it. grub-mkconfig writes
// GRUB_DEFAULT into each script, where it counts from then on. For a script that sets no
// default, as one that was made by hand, the setting itself is taken.
func (g *grubScript) wanted(name string) (grubValue, string) {
	if value, set := g.variables["default"]; set {
		if value.from != "" {
			return value, "/" + path.Join(g.folder, "grubenv")
		}
		return value, "/" + name
	}
	environment := grubEnvironment(g.files, g.folder)
	if once := environment["next_entry"]; once != "" {
		return grubValue{once, "next_entry"}, "/" + path.Join(g.folder, "grubenv")
	}
	setting := grubDefault(g.files)
	if setting == "saved" {
		return grubValue{environment["saved_entry"], "saved_entry"}, "/" + path.Join(g.folder, "grubenv")
	}
	return grubValue{text: setting}, "/" + grubDefaults
}

// chooseEntry finds an entry by a path of numbers, titles or ids with ">" between them
// ("default" in GRUB's manual; a ">" of a title is written twice). What is not there is
// the first entry, and so is what a path does not name of a submenu: GRUB boots the
// default of a submenu that it enters by itself. first says that it was not named. why
// is why the entry cannot be known.
func chooseEntry(entries []grubEntry, wanted string) (e grubEntry, first bool, why string) {
	if len(entries) == 0 {
		return e, false, "the menu has no entries"
	}
	head, rest := cutEntryPath(wanted)
	at, needed := 0, entries[:1] // those that must be there for at to be right
	first = true
	if number, err := strconv.ParseUint(strings.TrimSpace(head), 0, 31); err == nil {
		if at = int(number); at < len(entries) {
			needed = entries[:at+1]
		} else {
			at, rest, needed = 0, "", entries
		}
	} else {
		named := slices.IndexFunc(entries, func(e grubEntry) bool {
			return !e.real() || head != "" && (e.id == head || e.title == head)
		})
		if first = named < 0; first {
			rest = ""
		} else {
			at, needed = named, entries[named:named+1]
		}
	}
	first = first && at == 0
	if slices.ContainsFunc(needed, func(e grubEntry) bool { return e.unsure }) {
		return e, false, fmt.Sprintf("which entry %q is depends on what only GRUB itself knows", clip(wanted, maxSaid))
	}
	if e = entries[at]; e.submenu {
		inner, innerFirst, why := chooseEntry(e.entries, rest)
		return inner, first && innerFirst, why
	}
	return e, first, ""
}

// cutEntryPath takes the first element off a path of entries.
func cutEntryPath(wanted string) (head, rest string) {
	var b strings.Builder
	for i := 0; i < len(wanted); i++ {
		if wanted[i] == '>' {
			if i+1 == len(wanted) || wanted[i+1] != '>' {
				return b.String(), wanted[i+1:]
			}
			i++
		}
		b.WriteByte(wanted[i])
	}
	return b.String(), ""
}

// release is the kernel that an entry starts, or why none is known.
func (e grubEntry) release(files fs.FS) (release, why string) {
	switch len(e.images) {
	case 0:
		return "", "starts no kernel of this host"
	case 1:
		if release := imageRelease(files, e.images[0]); release != "" {
			return release, ""
		}
		return "", fmt.Sprintf("loads %s, which names no release", clip(strings.ReplaceAll(e.images[0], grubUnknown, "?"), maxSaid))
	}
	return "", "loads one kernel or another"
}
