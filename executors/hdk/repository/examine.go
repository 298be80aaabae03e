package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// ErrOtherPackage says that a file is another package than its index declares.
var ErrOtherPackage = errors.New("is another package than the index declares")

// Examine compares what an index declares of a package with what is in its file, read as
// it is for Scan. The error wraps ErrDamaged or ErrOtherPackage, or is the cause of ctx
// once that has ended; what cannot be read and what the content does not say contradict
// nothing, and an image is not examined. The last element of path must be a regular file;
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
	case err != nil && !errors.Is(err, ErrNoVersionInfo):
		return nil
	}
	declared := func(what, index, content string) error {
		return fmt.Errorf("%s %w: the index says %s %s, its content %s", p.File, ErrOtherPackage, what, index, content)
	}
	if len(found.chips) > 0 && !slices.Contains(found.chips, p.Chip) {
		return declared("chip", string(p.Chip), chipNames(found.chips))
	}
	for _, fact := range []struct{ what, index, content string }{
		{"kind", string(p.Kind), string(found.Kind)},
		{"architecture", p.Arch, found.Arch},
		{"version", string(p.Version), string(found.Version)},
	} {
		if fact.content != "" && fact.index != fact.content && (fact.what != "architecture" || fact.index != NoArch) {
			return declared(fact.what, fact.index, fact.content)
		}
	}
	return nil
}
