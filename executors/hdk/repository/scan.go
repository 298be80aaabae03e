package repository

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
// chip, as nothing says to which of them it belongs. Where one package declares ranges,
// they count for the others of its kind, chip and version too: an rpm or deb has none
// that are read.
//
// Releases are ordered by version and file, and packages in them by chip, kind, version,
// architecture, format (a .run first) and file, so a folder has one index.
//
// notes, in order, say which files were left out and why, and what could not be read of
// others; see LeftOut. No file ends the scan: only a folder that cannot be read at all,
// or one of which the index would have more entries than agents take, is an error.
// Nothing is followed out of the folder, and no file that is not a regular one is opened.
// Once ctx has ended, the error is its cause.
func Scan(ctx context.Context, dir string) (index Index, notes []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Index{}, nil, err
	}
	defer root.Close()
	w := walk{root: root}
	if err := w.folder(".", nil); err != nil {
		return Index{}, nil, err
	}
	var packages []Package
	for _, file := range w.files {
		p, note := describe(ctx, root, file)
		if ctx.Err() != nil {
			return Index{}, nil, context.Cause(ctx)
		}
		if note != "" {
			w.notes = append(w.notes, note)
		}
		if p.File == "" {
			continue
		}
		if packages = append(packages, p); len(packages) > maxPackages {
			return Index{}, nil, fmt.Errorf("%s has more than %d packages, and an index lists no more; make several repositories of it", dir, maxPackages)
		}
	}
	slices.SortFunc(packages, compareInRelease) // and not as the folder happens to have them
	byFolder := map[string][]Package{}
	for _, p := range packages {
		inFolder := byFolder[path.Dir(p.File)]
		if n := len(inFolder); n > 0 && sameButContent(inFolder[n-1], p) {
			w.notes = append(w.notes, fmt.Sprintf("%s: is the same version as %s with another content, and hosts take that one; remove one of them", p.File, inFolder[n-1].File))
		}
		byFolder[path.Dir(p.File)] = append(inFolder, p)
	}
	var m matcher
	m.learn(packages)
	for _, folder := range slices.Sorted(maps.Keys(byFolder)) {
		releases, alone, err := m.group(byFolder[folder], folder != ".")
		if err != nil {
			return Index{}, nil, fmt.Errorf("%s: %w", dir, err)
		}
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

// describe reads one package. A file that is not a package has no File; the note says why.
func describe(ctx context.Context, root *os.Root, file walked) (Package, string) {
	p, note, err := read(ctx, root, file)
	switch {
	case errors.Is(err, ErrDamaged):
		return Package{}, file.name + leftOut + err.Error() + "; download it again"
	case err != nil:
		return Package{}, file.name + leftOut + err.Error()
	case note != "":
		return p, file.name + ": " + note
	}
	return p, ""
}

// read is describe with what is noted of a package that is listed.
func read(ctx context.Context, root *os.Root, file walked) (p Package, note string, err error) {
	named, unnamed := parseName(path.Base(file.name))
	format := Package{File: file.name}.Format()
	if unnamed != nil && (format == Image || !errors.Is(unnamed, errUnknownName)) {
		return p, "", unnamed
	}
	opened, err := open(root, file)
	if err != nil {
		return p, "", err
	}
	defer opened.Close()
	p = named
	if format == Image { // it says nothing of itself
		if file.info.Size() == 0 {
			return p, "", damaged("it is empty")
		}
		if file.info.Size() > maxFile {
			return p, "", fmt.Errorf("%w: it has %d bytes", errTooLarge, file.info.Size())
		}
	} else {
		found, err := inspect(opened, file.info.Size(), format, newBudget(ctx, file.info.Size()))
		if changed := unchanged(opened, file.info); err != nil && changed != nil {
			return p, "", changed // which may be why
		}
		if note, err = listedAllTheSame(format, unnamed, err); err != nil {
			return p, "", err
		}
		if p, err = agreed(named, found); err != nil {
			return p, "", err
		}
	}
	p.Arch = defaultArch(p)
	p.File = file.name
	if err := p.measure(ctx, opened, file.info); err != nil {
		return p, "", err
	}
	return p, note, p.check()
}

// listedAllTheSame is what is noted of a package that says less than it may, and err of
// one that is left out; unnamed is what parseName said.
func listedAllTheSame(format Format, unnamed, err error) (note string, _ error) {
	switch {
	case errors.Is(err, ErrNoVersionInfo) && unnamed == nil:
		return err.Error() + "; it is listed by its name, without ranges", nil
	case errors.Is(err, ErrNoVersionInfo):
		return "", fmt.Errorf("%w, and %w; give it its name back", unnamed, err)
	case err != nil && unnamed != nil:
		return "", fmt.Errorf("%w, and %w", unnamed, err)
	case err == nil && format != Run:
		return "an rpm or deb declares no ranges that can be read; it is listed without ranges", nil
	}
	return "", err
}

// sameButContent reports whether nothing that an index says tells two packages apart but
// their sums.
func sameButContent(a, b Package) bool {
	return a.Kind == b.Kind && a.Chip == b.Chip && a.Arch == b.Arch && a.Version == b.Version && a.Format() == b.Format() && a.SHA256 != b.SHA256
}

// measure notes size and digest of a file that was found with info.
func (p *Package) measure(ctx context.Context, file *os.File, info fs.FileInfo) (err error) {
	sum := sha256.New()
	if p.Size, err = io.Copy(sum, io.NewSectionReader(interruptible{ctx, file}, 0, maxFile+1)); err != nil {
		return fmt.Errorf("cannot be read: %w", cause(err))
	}
	p.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if p.Size != info.Size() {
		return errChanged
	}
	return unchanged(file, info)
}

var errChanged = errors.New("it was changed while it was read; write the index again when nobody writes there")

// unchanged is errChanged for a file that is not as it was found any more.
func unchanged(file *os.File, info fs.FileInfo) error {
	now, err := file.Stat()
	if err != nil || now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()) {
		return errChanged
	}
	return nil
}

// open opens a file that was walked, and nothing else that may stand in its place by now.
func open(root *os.Root, file walked) (*os.File, error) {
	opened, err := root.OpenFile(file.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	info, err := opened.Stat()
	if err == nil && (!info.Mode().IsRegular() || !os.SameFile(info, file.info)) {
		err = errReplaced
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
