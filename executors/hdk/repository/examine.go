package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// ErrOtherPackage says that a file is another package than its index declares.
var ErrOtherPackage = errors.New("is another package than the index declares")

// Examine compares what an index declares of a package with what is in its file, read as
// it is for Scan. The error wraps ErrDamaged or ErrOtherPackage, or is the cause of ctx
// once that has ended; what is packed in a way that cannot be read and what the content does
// not say contradict nothing, and an image is not examined. The last element of path must be a regular file;
// a link is not followed.
func Examine(ctx context.Context, path string, p Package) error {
	if p.Format() == Image {
		return nil
	}
	found, err := inspectFile(ctx, path, p.Format())
	var failed *fs.PathError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("%s %w", p.File, err)
	case errors.As(err, &failed):
		return err
	case errors.Is(err, errPacking), errors.Is(err, errTooLarge):
		return nil
	case err != nil && !errors.Is(err, ErrNoVersionInfo):
		return fmt.Errorf("%s %w: %w", p.File, ErrOtherPackage, err)
	}
	if p.Arch == NoArch {
		p.Arch = ""
	}
	if what, declared, content := contradiction(p, found); what != "" {
		return fmt.Errorf("%s %w: the index says %s %s, its content %s", p.File, ErrOtherPackage, what, declared, content)
	}
	return nil
}
