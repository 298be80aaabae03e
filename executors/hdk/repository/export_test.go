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
	m.learn(packages)
	releases, alone, err = m.group(packages, together)
	return releases, alone, m.compared, err
}

// Said is what a package says of itself, the chip if it is for one only.
func Said(format Format, content []byte) (Package, error) {
	p, _, err := SaidWithin(newBudget(context.Background(), int64(len(content))).bound, format, content)
	return p, err
}

// Work is what reading a package took, in bytes.
type Work struct {
	Read     int64 // of the file
	Unpacked int64 // what decompressors hold included
}

// SaidWithin is Said with another bound of what is unpacked.
func SaidWithin(bound int64, format Format, content []byte) (Package, Work, error) {
	b := &budget{ctx: context.Background(), left: bound, bound: bound}
	file := &counted{ReaderAt: bytes.NewReader(content)}
	found, err := inspect(file, int64(len(content)), format, b)
	arch, unknown := found.archOf(found.Kind)
	if err == nil {
		err = unknown
	}
	p := Package{Kind: found.Kind, Chip: found.chip(), Arch: arch, Version: found.Version, Requires: found.Requires}
	return p, Work{Read: file.read, Unpacked: bound - b.left}, err
}

// ErrTooLarge says that a bound was reached.
var ErrTooLarge = errTooLarge

// counted is a file that counts the bytes that are read of it.
type counted struct {
	io.ReaderAt
	read int64
}

func (c *counted) ReadAt(p []byte, offset int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, offset)
	c.read += int64(n)
	return n, err
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
