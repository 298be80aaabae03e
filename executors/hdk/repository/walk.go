package repository

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Bounds of a folder.
const (
	maxWalked  = 100_000 // files and folders
	maxFolders = 4       // below each other; the path of a package in an index has no more
)

// walk goes through a folder.
type walk struct {
	root  *os.Root
	seen  int
	files []walked // that may be packages
	notes []string // of the others
}

// walked is a regular file as the walk found it.
type walked struct {
	name string // below the folder, with slashes
	info fs.FileInfo
}

// folder goes through one folder, which was found with info if that is not nil. An error
// ends the walk.
func (w *walk) folder(dir string, info fs.FileInfo) error {
	names, err := w.list(dir, info)
	if err != nil {
		return err
	}
	for _, base := range names {
		name := path.Join(dir, base)
		info, err := w.root.Lstat(name)
		if err != nil {
			w.leaveOut(name, fmt.Sprintf("cannot be read: %v", cause(err)))
			continue
		}
		if info.IsDir() {
			if err := w.subfolder(name, info); err != nil {
				return err
			}
			continue
		}
		w.file(name, info)
	}
	return nil
}

// list reads the names in a folder.
func (w *walk) list(dir string, info fs.FileInfo) ([]string, error) {
	opened, err := w.root.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	if now, err := opened.Stat(); info != nil && (err != nil || !os.SameFile(now, info)) {
		return nil, errReplaced
	}
	var names []string
	for {
		more, err := opened.Readdirnames(1024)
		names = append(names, more...)
		if w.seen += len(more); w.seen > maxWalked {
			return nil, tooMany{}
		}
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// errReplaced says that what was walked is not there any more.
var errReplaced = errors.New("another file took its place while the folder was read; write the index again")

// tooMany ends the walk of a folder that is not one of packages.
type tooMany struct{}

// Error implements error.
func (tooMany) Error() string {
	return fmt.Sprintf("the folder has more than %d files; keep packages in a folder of their own", maxWalked)
}

func (w *walk) subfolder(name string, info fs.FileInfo) error {
	switch {
	case !filePattern.MatchString(path.Base(name)):
		w.leaveOut(name, "it and what is in it: its name has letters that are not used in an index; give it another")
		return nil
	case strings.Count(name, "/") >= maxFolders:
		w.leaveOut(name, fmt.Sprintf("it and what is in it: it is too deep, below more than %d folders; put its packages higher", maxFolders))
		return nil
	}
	err := w.folder(name, info)
	if err == nil || errors.As(err, new(tooMany)) {
		return err
	}
	w.leaveOut(name, fmt.Sprintf("it and what is in it cannot be read: %v", cause(err)))
	return nil
}

func (w *walk) file(name string, info fs.FileInfo) {
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		w.leaveOut(name, "it is a link, and links are not followed; put the file itself here")
	case !mode.IsRegular():
		w.leaveOut(name, "it is "+kindOf(mode)+" and not a regular file")
	case path.Base(name) == IndexFile || path.Base(name) == SignedIndexFile:
	case strings.HasPrefix(path.Base(name), indexTemp): // of a run that was killed, or that is at work
	case copied.MatchString(path.Base(name)):
		w.leaveOut(name, "it looks like a copy or an unfinished download of a package; give it its name back if it is whole, or download it again")
	case (Package{File: name}).Format() == "":
		w.leaveOut(name, "it is not a package (.run, .rpm, .deb, .hpm or .zip)")
	case !filePattern.MatchString(name):
		w.leaveOut(name, "its name or folder has letters that are not used in an index; give it its name back")
	default:
		w.files = append(w.files, walked{name, info})
	}
}

func (w *walk) leaveOut(name, reason string) {
	w.notes = append(w.notes, shown(name)+leftOut+reason)
}

// shown is a name as a terminal may be given it.
func shown(name string) string {
	if filePattern.MatchString(name) {
		return name
	}
	return strconv.QuoteToASCII(name)
}

// kindOf says what a file is that is not a regular one.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
