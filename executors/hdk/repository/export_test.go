package repository

import (
	"bytes"
	"context"
	"io"
)

// Bounds, for tests.
const (
	MaxPackages = maxPackages
	MaxMatching = maxMatching
)

// Group makes releases of the packages of one folder, and counts the work.
func Group(packages []Package, together bool) (releases []Release, alone []Package, compared int, err error) {
	var m matcher
	releases, alone, err = m.group(packages, together)
	return releases, alone, m.compared, err
}

// Said is what a package says of itself, the chip if it is for one only.
func Said(format Format, content []byte) (Package, error) {
	found, err := inspect(bytes.NewReader(content), int64(len(content)), format, newBudget(context.Background(), int64(len(content))))
	return Package{Kind: found.Kind, Chip: found.chip(), Arch: found.Arch, Version: found.Version, Requires: found.Requires}, err
}

// Named is what a package's name says, with what a missing architecture means.
func Named(name string) (Package, error) {
	p, err := parseName(name)
	if err != nil {
		return p, err
	}
	p.Arch = defaultArch(p)
	return p, nil
}

// Unpacked is how many bytes are unpacked when a package is read, what decompressors
// hold included.
func Unpacked(ctx context.Context, file io.ReaderAt, size int64, format Format) (int64, error) {
	b := newBudget(ctx, size)
	_, err := inspect(file, size, format, b)
	return b.bound - b.left, err
}
