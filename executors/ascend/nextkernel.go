package ascend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"devserver-agent/executors"
	"devserver-agent/executors/lazyregexp"
)

// grubbyPatience bounds how long grubby is waited for. It reads a few small files.
const grubbyPatience = 5 * time.Second

// NextKernel asks grubby, where a host has it, and then as the function does. What GRUB
// was asked to boot once counts before grubby, which reports the default only. A grubby
// that does not answer is named in how.
func (n Node) NextKernel(ctx context.Context) (release, how string) {
	files := n.host.Files()
	choice := nextKernel(files)
	if choice.once {
		return choice.release, choice.how
	}
	bounded, cancel := context.WithTimeoutCause(ctx, grubbyPatience, executors.ErrTimeout)
	defer cancel()
	reply, err := n.host.Query(bounded, "grubby", "--default-kernel")
	if err == nil && reply.Code == 0 {
		if release := imageRelease(files, strings.TrimSpace(string(reply.Output))); release != "" {
			return release, "grubby"
		}
	}
	if errors.Is(err, executors.ErrTimeout) || bounded.Err() != nil && ctx.Err() == nil {
		choice.how = strings.TrimPrefix(fmt.Sprintf("%s; grubby did not answer within %v", choice.how, grubbyPatience), "; ")
	}
	return choice.release, choice.how
}

// NextKernel is the release of the kernel that the next start of the host boots, and how
// that is known: the name of a file, for the most part. Where it cannot be known release
// is "" and how is the reason, which is "" too on a host that has nothing to read. It
// never guesses between two.
//
// It reads what the boot loader reads. GRUB: grub.cfg with its menu, the default that it
// sets, and the environment block beside it (GNU GRUB Manual, "Simple configuration
// handling", "default", "The GRUB environment block"); the files of the Boot Loader
// Specification where grub.cfg has the command blscfg. systemd-boot: loader.conf(5) and
// those files. Without any of them it is the link /boot/vmlinuz, or the newest kernel in
// /boot, as the configurations have it that distributions generate.
func NextKernel(files fs.FS) (release, how string) {
	choice := nextKernel(files)
	return choice.release, choice.how
}

func nextKernel(files fs.FS) bootChoice {
	if choice, known := grubChoice(files); known {
		return choice
	}
	if choice, known := settingChoice(files); known {
		return choice
	}
	if choice, known := loaderChoice(files); known {
		return choice
	}
	for _, link := range []string{"boot/vmlinuz", "vmlinuz", "boot/Image"} {
		if _, err := fs.ReadLink(files, link); err != nil {
			continue
		}
		if release := imageRelease(files, link); release != "" {
			return bootChoice{release: release, how: "/" + link}
		}
	}
	if installed := bootKernels(files); len(installed) > 0 {
		return bootChoice{release: installed[0], how: "the newest kernel in /boot"}
	}
	return bootChoice{}
}

// settingChoice is what GRUB's settings name on a host whose grub.cfg is not there to be
// read; known is false if they name the first entry. A title has to name an installed
// kernel, and a number means nothing without a menu.
func settingChoice(files fs.FS) (choice bootChoice, known bool) {
	entry, how, once := grubDefault(files), "/"+grubDefaults, false
	for _, folder := range grubFolders {
		names, err := fs.Glob(files, path.Join(folder, "grubenv"))
		if err != nil {
			continue
		}
		for _, name := range names {
			environment := grubEnvironment(files, path.Dir(name))
			switch next, saved := environment["next_entry"], environment["saved_entry"]; {
			case once:
			case next != "":
				entry, how, once = next, "/"+name, true
			case entry == "saved" && saved != "":
				entry, how = saved, "/"+name
			}
		}
	}
	if entry == "0" || entry == "saved" {
		return bootChoice{}, false
	}
	if release := namedKernel(files, entry); release != "" {
		return bootChoice{release, how, once}, true
	}
	return bootChoice{once: once, how: fmt.Sprintf("%s names the entry %q, and no grub.cfg was found to look it up in", how, clip(strings.ReplaceAll(entry, grubUnknown, "?"), maxSaid))}, true
}

// namedKernel is the kernel of the boot loader's entry of a name, or else the installed
// one that a title names; "" if none or several could be meant.
func namedKernel(files fs.FS, title string) string {
	for _, e := range bootEntries(files, "boot/loader/entries") {
		if e.name == strings.TrimSuffix(title, ".conf") {
			release, _ := e.release(files)
			return release
		}
	}
	known := bootKernels(files)
	if modules, err := fs.ReadDir(files, "lib/modules"); err == nil {
		for _, m := range modules {
			known = append(known, m.Name())
		}
	}
	best := ""
	for _, release := range known {
		if containsWhole(title, release) && len(release) > len(best) {
			best = release
		}
	}
	return best
}

// containsWhole reports whether a title names a release, and no longer one: its next
// character, if it is part of a number, makes another release of it.
func containsWhole(title, release string) bool {
	at := strings.Index(title, release)
	if at < 0 || release == "" {
		return false
	}
	rest := title[at+len(release):]
	return rest == "" || rest[0] < '0' || rest[0] > '9'
}

// kernelFile names a kernel's image in /boot.
var kernelFile = lazyregexp.New(`^(?:vmlinuz|vmlinux|Image|kernel)-([0-9][0-9A-Za-z._+~-]{0,127})$`)

// kernelOf is the release in the name of an image, "" if it is none. Rescue images are
// named for the host and not for a release.
func kernelOf(image string) string {
	match := kernelFile.FindStringSubmatch(path.Base(image))
	if match == nil || strings.Contains(match[1], "rescue") {
		return ""
	}
	return match[1]
}

const maxLinks = 8

// imageRelease is the release of an image as a boot loader names it, by its own name or
// by what the link of this name points to; "" if neither names one. The path may start at
// the root or, where /boot is a file system of its own, in there, and may have GRUB's
// device before it, as in "(hd0,gpt2)/vmlinuz".
func imageRelease(files fs.FS, image string) string {
	if strings.HasPrefix(image, "(") {
		_, image, _ = strings.Cut(image, ")")
	}
	if release := kernelOf(image); release != "" {
		return release
	}
	image = strings.TrimPrefix(path.Clean("/"+image), "/")
	for _, name := range []string{image, path.Join("boot", image)} {
		for range maxLinks {
			target, err := fs.ReadLink(files, name)
			if err != nil {
				break
			}
			if release := kernelOf(target); release != "" {
				return release
			}
			if name = path.Join(path.Dir(name), target); path.IsAbs(target) {
				name = strings.TrimPrefix(path.Clean(target), "/")
			}
		}
	}
	return ""
}

func small(files fs.FS, name string) []byte {
	data, err := readFile(files, name)
	if err != nil {
		return nil
	}
	return data
}

// bootKernels are the releases of the images in /boot, the newest first.
func bootKernels(files fs.FS) []string {
	entries, err := fs.ReadDir(files, "boot")
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if release := kernelOf(e.Name()); release != "" {
			found = append(found, release)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return compareReleases(b, a) })
	return slices.Compact(found)
}

var releasePart = lazyregexp.New(`[0-9]+|[A-Za-z]+`)

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
