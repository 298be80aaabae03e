package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Source gives the files of a repository.
//
// Open reads a file from an offset on. fs.ErrNotExist says that there is none.
// An offset at the file's end or beyond gives nothing or an error. It may be
// called concurrently.
type Source interface {
	Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
}

// ErrNone says that no repository is configured.
var ErrNone = errors.New("no repository is configured")

// Locate makes the source for a location as the configuration writes it: an
// absolute path, an http or https URL, or object://BUCKET, for which objects is
// asked; nil objects knows none.
func Locate(location string, objects func(bucket string) (Source, error)) (Source, error) {
	switch {
	case location == "":
		return nil, ErrNone
	case strings.HasPrefix(location, "http://"), strings.HasPrefix(location, "https://"):
		return NewHTTP(location)
	case strings.HasPrefix(location, "object://"):
		if objects == nil {
			return nil, errors.New("this agent has no object store")
		}
		return objects(strings.TrimPrefix(location, "object://"))
	case filepath.IsAbs(location):
		return Folder(location), nil
	}
	return nil, fmt.Errorf("repository %q is not an absolute path, and not a URL of a known kind", location)
}

// Broken is a repository that cannot be used, and why.
type Broken struct{ Err error }

// Open implements Source.
func (b Broken) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return nil, refusal{b.Err}
}

// Folder is a repository in a folder.
type Folder string

// Open implements Source. A file that a link leads out of the folder is refused, and so is
// what is not a regular file: a pipe would block whoever opens it.
func (f Folder) Open(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	root, err := os.OpenRoot(string(f))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if !errors.As(err, new(syscall.Errno)) { // os.Root's own
			err = refusal{fmt.Errorf("%s is a link that leads out of the folder; put the file itself there", name)}
		}
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = refusal{fmt.Errorf("%s is not a regular file", name)}
	}
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
