package repository

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Scan makes the index of a folder from its packages: what they are by what is in them,
// sizes, digests, and the ranges declared in the archives. A name is compared with the
// content, and is what an image is known by. Packages in one subfolder belong together.
// Elsewhere a release is a driver with the firmware that it was published with, or,
// where that is not known or not there, with every firmware that may run with it by the
// ranges that the two declare; and an MCU's image is listed with every driver of its
// chip, as nothing tells with which it belongs.
//
// notes, in order, say which files were left out and why, and what could not be read of
// others; see LeftOut. No file ends the scan: only a folder that cannot be read at all,
// or one with more in it than an index can have, is an error. Nothing is followed out
// of the folder, and no file that is not a regular one is opened.
func Scan(dir string) (index Index, notes []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Index{}, nil, err
	}
	defer root.Close()
	w := walk{root: root}
	if err := w.folder("."); err != nil {
		return Index{}, nil, err
	}
	byFolder := map[string][]Package{}
	packages := 0
	for _, file := range w.files {
		p, note := describe(root, file)
		if note != "" {
			w.notes = append(w.notes, note)
		}
		if p.File != "" {
			byFolder[path.Dir(p.File)] = append(byFolder[path.Dir(p.File)], p)
			packages++
		}
	}
	if packages > maxPackages {
		return Index{}, nil, fmt.Errorf("%s has %d packages, and an index no more than %d; make several repositories of it", dir, packages, maxPackages)
	}
	for folder, packages := range byFolder {
		releases, alone := group(packages, folder != ".")
		index.Releases = append(index.Releases, releases...)
		for _, p := range alone {
			w.notes = append(w.notes, p.File+": left out: no driver here goes with it; put the driver of its release beside it")
		}
	}
	slices.SortFunc(index.Releases, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Packages[0].File, b.Packages[0].File))
	})
	slices.Sort(w.notes)
	return index, w.notes, nil
}

const leftOut = ": left out: "

// LeftOut is how many of a scan's notes are of a file or folder that was left out.
func LeftOut(notes []string) (n int) {
	for _, note := range notes {
		if strings.Contains(note, leftOut) {
			n++
		}
	}
	return n
}

// describe reads one package. A file that is none has no File; the note says why.
func describe(root *os.Root, file walked) (Package, string) {
	p, note, err := read(root, file)
	switch {
	case err != nil:
		return Package{}, file.name + leftOut + err.Error()
	case note != "":
		return p, file.name + ": " + note
	}
	return p, ""
}

// read is describe with what is noted of a package that is listed.
func read(root *os.Root, file walked) (p Package, note string, err error) {
	format := Package{File: file.name}.Format()
	p, err = parseName(path.Base(file.name))
	named := err == nil
	if !named && (format == Image || !errors.Is(err, errUnknownName)) {
		return p, "", err
	}
	unnamed := err
	opened, err := open(root, file)
	if err != nil {
		return p, "", err
	}
	defer opened.Close()
	if p.Kind == MCU && file.info.Size() > maxFile {
		return p, "", fmt.Errorf("%w: it has %d bytes", errTooLarge, file.info.Size())
	}
	if p.Kind != MCU {
		found, err := inspect(opened, file.info.Size(), format)
		switch {
		case errors.Is(err, ErrNoVersionInfo) && named:
			note = ErrNoVersionInfo.Error() + "; it is listed without ranges"
		case errors.Is(err, ErrNoVersionInfo):
			return p, "", fmt.Errorf("%w, and %w; give it its name back, or download it again", unnamed, ErrNoVersionInfo)
		case err != nil && !named:
			return p, "", fmt.Errorf("%w, and %w", unnamed, err)
		case err != nil:
			return p, "", err
		case format != Run:
			note = "an rpm or deb declares no ranges that can be read; it is listed without ranges"
		}
		if p, err = agreed(p, found); err != nil {
			return p, "", err
		}
	}
	p.Arch = defaultArch(p)
	p.File = file.name
	sum := sha256.New()
	if p.Size, err = io.Copy(sum, io.NewSectionReader(opened, 0, maxFile+1)); err != nil {
		return p, "", fmt.Errorf("cannot be read: %w", err)
	}
	p.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if now, err := opened.Stat(); err != nil || now.Size() != file.info.Size() || p.Size != now.Size() || !now.ModTime().Equal(file.info.ModTime()) {
		return p, "", errors.New("it was changed while it was read; write the index again when nobody writes there")
	}
	return p, note, p.check()
}

// agreed is what name and content say together. Where both speak they must say the same.
func agreed(p Package, found findings) (Package, error) {
	if len(found.chips) > 0 && (p.Chip == "" && len(found.chips) == 1 || slices.Contains(found.chips, p.Chip)) {
		found.Chip = cmp.Or(p.Chip, found.chips[0])
	} else if len(found.chips) > 0 {
		if p.Chip == "" {
			return p, fmt.Errorf("its content is for the chips %s, and its name does not say for which; give it its name back", chipNames(found.chips))
		}
		return p, disagreement("chip", string(p.Chip), chipNames(found.chips))
	}
	if p.Arch == NoArch && p.Kind == Driver {
		p.Arch = ""
	}
	for _, fact := range []struct{ what, named, found string }{
		{"kind", string(p.Kind), string(found.Kind)},
		{"architecture", p.Arch, found.Arch},
		{"version", string(p.Version), string(found.Version)},
	} {
		if fact.named != "" && fact.found != "" && fact.named != fact.found {
			return p, disagreement(fact.what, fact.named, fact.found)
		}
	}
	p.Kind = cmp.Or(p.Kind, found.Kind)
	p.Chip = cmp.Or(p.Chip, found.Chip)
	p.Arch = cmp.Or(p.Arch, found.Arch)
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

func disagreement(what, named, found string) error {
	return fmt.Errorf("its name says %s %s, its content %s; give it its name back, or download it again", what, named, found)
}

// open opens a file that was walked, and nothing else that may stand in its place by now.
func open(root *os.Root, file walked) (*os.File, error) {
	opened, err := root.OpenFile(file.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	info, err := opened.Stat()
	if err == nil && (!info.Mode().IsRegular() || !os.SameFile(info, file.info)) {
		err = errors.New("another file took its place while the folder was read; write the index again")
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// cause is an error without the path, which the note has.
func cause(err error) error {
	var where *os.PathError
	if errors.As(err, &where) {
		return where.Err
	}
	return err
}
