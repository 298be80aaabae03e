package repository

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"devserver-agent/executors/ascend"
)

// Content is what a package says of itself inside, whatever its name is. "" is what it
// does not say.
type Content struct {
	Kind    Kind
	Chip    ascend.Chip
	Arch    string // as uname -m says it, or NoArch
	Version ascend.Version
	// Requires are the ranges in which the other kind's version must be. Only the
	// archive of a .run is read for them.
	Requires string
}

// Errors of what is in a package.
var (
	// ErrNoVersionInfo says that an archive has no version.info, or is packed in a
	// way that is not known.
	ErrNoVersionInfo = errors.New("has no version.info that can be read")
	// errTooLarge says that a file would take more to read than any package does.
	errTooLarge = errors.New("is larger than any package is")
)

// maxFile is the size in bytes of the largest file that is read as a package. Huawei's
// have some hundred MB.
const maxFile = 4 << 30

// damage is how a file is seen to be damaged.
type damage string

// damaged says how a file is seen to be damaged, and what to do.
func damaged(how string, args ...any) error { return damage(fmt.Sprintf(how, args...)) }

// Error implements error.
func (d damage) Error() string { return "is damaged: " + string(d) + "; download it again" }

// bytesAre begins a sentence about a number of bytes.
func bytesAre(n int64) string {
	if n == 1 {
		return "1 byte is"
	}
	return fmt.Sprintf("%d bytes are", n)
}

// Unwrap makes it an ErrDamaged.
func (d damage) Unwrap() error { return ErrDamaged }

// Inspect reads what a .run, .rpm or .deb says of itself and compares it with the sizes
// and checksums that it carries. Nothing in it is run or unpacked to the disk, and what
// it makes this process read, hold or unpack is bounded. The last element of path must
// be a regular file; a link is not followed.
//
// An error that wraps ErrDamaged says that the file is not as it was made. One that
// wraps ErrNoVersionInfo comes with what could be read all the same: the shell script
// of a .run may be of a kind that is not known here, and what it carries intact.
func Inspect(path string) (Content, error) {
	format := Package{File: path}.Format()
	if format == "" || format == Image {
		return Content{}, fmt.Errorf("%s: is not a .run, .rpm or .deb", path)
	}
	found, err := inspectFile(path, format)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return found.content(), err
}

// inspectFile inspects a regular file.
func inspectFile(path string, format Format) (findings, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return findings{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return findings{}, err
	}
	if !info.Mode().IsRegular() {
		return findings{}, errors.New("is not a regular file")
	}
	return inspect(file, info.Size(), format)
}

// findings are a Content of which the chip may be one of several.
type findings struct {
	Content
	chips []ascend.Chip // that the package is for; none if it does not say
}

// content is what the findings are to others.
func (f findings) content() Content {
	if len(f.chips) == 1 {
		f.Chip = f.chips[0]
	}
	return f.Content
}

// inspect reads a package of size bytes.
func inspect(file io.ReaderAt, size int64, format Format) (findings, error) {
	switch {
	case size > maxFile:
		return findings{}, fmt.Errorf("%w: it has %d bytes", errTooLarge, size)
	case size == 0:
		return findings{}, damaged("it is empty")
	}
	switch format {
	case Run:
		return inspectRun(file, size, newBudget(size))
	case RPM:
		return inspectRPM(file, size)
	case Deb:
		return inspectDeb(file, size, newBudget(size))
	}
	return findings{}, fmt.Errorf("format %q is not one that is read", format)
}
