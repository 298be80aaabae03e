package repository

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"devserver-agent/executors/ascend"
)

// ErrNoVersionInfo says that an archive has no version.info, or is packed in a
// way that is not known.
var ErrNoVersionInfo = errors.New("has no version.info that can be read")

const (
	maxHeader      = 1 << 20 // bytes of a package's shell script
	maxVersionInfo = 64 << 10
)

// How a makeself archive's payload begins after the script's last line: gzip,
// bzip2. See makeself's manual; gzip is what it does unless told otherwise.
var payloads = []struct {
	magic  string
	unpack func(io.Reader) (io.Reader, error)
}{
	{"\n\x1f\x8b\x08", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"\nBZh", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
}

// VersionInfo reads the version.info out of a package, which is a makeself
// archive: a shell script followed by a compressed tar. Nothing is unpacked to
// the disk and nothing is run. Of several files of that name the first with the
// shortest path counts.
func VersionInfo(pkg io.Reader) (ascend.VersionInfo, error) {
	buffered := bufio.NewReaderSize(pkg, maxHeader)
	head, err := buffered.Peek(maxHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return ascend.VersionInfo{}, err
	}
	for _, kind := range payloads {
		at := bytes.Index(head, []byte(kind.magic))
		if at < 0 {
			continue
		}
		if _, err := buffered.Discard(at + 1); err != nil {
			return ascend.VersionInfo{}, err
		}
		content, err := kind.unpack(buffered)
		if err != nil {
			return ascend.VersionInfo{}, fmt.Errorf("unpack: %w", err)
		}
		return search(tar.NewReader(content))
	}
	return ascend.VersionInfo{}, ErrNoVersionInfo
}

func search(files *tar.Reader) (ascend.VersionInfo, error) {
	var found []byte
	depth := -1
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return ascend.VersionInfo{}, fmt.Errorf("unpack: %w", err)
		}
		name := path.Clean(header.Name)
		deep := strings.Count(name, "/")
		if header.Typeflag != tar.TypeReg || path.Base(name) != "version.info" || header.Size > maxVersionInfo || depth >= 0 && deep >= depth {
			continue
		}
		if found, err = io.ReadAll(files); err != nil {
			return ascend.VersionInfo{}, fmt.Errorf("unpack: %w", err)
		}
		if depth = deep; depth == 0 {
			break // the rest of a large archive need not be unpacked
		}
	}
	if depth < 0 {
		return ascend.VersionInfo{}, ErrNoVersionInfo
	}
	return ascend.ParseVersionInfo(found)
}
