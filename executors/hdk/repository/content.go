package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"devserver-agent/executors/ascend"
)

// findings are what a package says of itself inside, whatever its name is. "" is what it
// does not say.
type findings struct {
	Kind Kind
	Arch string // as uname -m says it, or NoArch
	// scene is what the scene.info of a .run names as the architecture, whatever that is.
	// It says what a driver is for, and of a firmware only where it was built.
	scene   string
	Version ascend.Version
	// Requires are the ranges in which the other kind's version must be. Only the
	// archive of a .run is read for them.
	Requires string
	chips    []ascend.Chip // that the package is for; none if it does not say
}

// chip is the one that the package is for, "" if it does not say or is for several.
func (f findings) chip() ascend.Chip {
	if len(f.chips) == 1 {
		return f.chips[0]
	}
	return ""
}

// archOf is the architecture that the package is for if it is of a kind. The error
// says that it is none that is known.
func (f findings) archOf(kind Kind) (string, error) {
	if kind == Firmware || f.scene == "" {
		return f.Arch, nil
	}
	return knownArch(f.scene)
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

// damaged says how a file is seen to be damaged. What to do is for the caller to say.
func damaged(how string, args ...any) error {
	return damage("is damaged: " + fmt.Sprintf(how, args...))
}

// Error implements error.
func (d damage) Error() string { return string(d) }

// bytesAre begins a sentence about a number of bytes.
func bytesAre(n int64) string {
	if n == 1 {
		return "1 byte is"
	}
	return fmt.Sprintf("%d bytes are", n)
}

// Unwrap makes it an ErrDamaged.
func (d damage) Unwrap() error { return ErrDamaged }

// inspectFile inspects a regular file.
func inspectFile(ctx context.Context, path string, format Format) (findings, error) {
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
		return findings{}, &fs.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	return inspect(file, info.Size(), format, newBudget(ctx, info.Size()))
}

// inspect reads what a .run, .rpm or .deb of size bytes says of itself and compares it
// with the sizes and checksums that it carries. Nothing in it is run or unpacked to the
// disk. What it makes this process unpack and hold is bounded by b; once the context of
// that has ended, the error is its cause.
//
// An error that wraps ErrDamaged says that the file is not as it was made. One that
// wraps ErrNoVersionInfo comes with what could be read all the same: what a .run carries
// may be packed in a way that is not known here, and intact.
func inspect(file io.ReaderAt, size int64, format Format, b *budget) (found findings, err error) {
	switch {
	case size > maxFile:
		return findings{}, fmt.Errorf("%w: it has %d bytes", errTooLarge, size)
	case size == 0:
		return findings{}, damaged("it is empty")
	}
	file = interruptible{b.ctx, file}
	switch format {
	case Run:
		found, err = inspectRun(file, size, b)
	case RPM:
		found, err = inspectRPM(file, size)
	case Deb:
		found, err = inspectDeb(file, size, b)
	default:
		return findings{}, fmt.Errorf("format %q is not one that is read", format)
	}
	if b.ctx.Err() != nil { // whatever a decompressor made of it
		return findings{}, context.Cause(b.ctx)
	}
	return found, err
}

// interruptible is a file that is not read any more once ctx has ended.
type interruptible struct {
	ctx context.Context
	io.ReaderAt
}

// ReadAt implements io.ReaderAt.
func (f interruptible) ReadAt(p []byte, offset int64) (int, error) {
	if f.ctx.Err() != nil {
		return 0, context.Cause(f.ctx)
	}
	return f.ReaderAt.ReadAt(p, offset)
}
