package repository

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Bounds of what is unpacked of one file, in bytes. Drivers become three to five times
// as large.
const (
	maxUnpacked    = 32 << 30
	maxRatio       = 200           // times the packed size,
	freeUnpacked   = 3 * maxWindow // and so much in any case: a small file may have two archives
	maxWindow      = 64 << 20      // what a decompressor may have to look back at; xz -9 does 64 MiB
	maxFileInside  = 256 << 10
	peekAtArchives = 512
)

// errPacking says that an archive is packed in a way that is not known.
var errPacking = errors.New("is packed in a way that is not known")

// budget bounds what comes out of all decompressors of one file, of however many
// archives it is made, and ends with ctx.
type budget struct {
	ctx         context.Context
	left, bound int64
}

func newBudget(ctx context.Context, size int64) *budget {
	bound := min(maxUnpacked, freeUnpacked+maxRatio*size)
	return &budget{ctx: ctx, left: bound, bound: bound}
}

// spend takes n bytes of the budget.
func (b *budget) spend(n int64) error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	if b.left -= n; b.left < 0 {
		return fmt.Errorf("%w: it unpacks to more than %d bytes", errTooLarge, b.bound)
	}
	return nil
}

// metered is what comes out of a decompressor.
type metered struct {
	from   io.Reader
	budget *budget
}

// Read implements io.Reader.
func (m metered) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if spent := m.budget.spend(int64(n)); spent != nil {
		return 0, spent
	}
	return n, err
}

// unpacked is the content of a stream that may be packed, whose way of packing is known
// by its first bytes. errPacking if it is not one that is known, nor a tar. What comes
// out and what is held for it is taken from the budget. release ends it.
func unpacked(packed io.Reader, b *budget) (content io.Reader, release func(), err error) {
	buffered := bufio.NewReaderSize(packed, 64<<10)
	head, err := buffered.Peek(peekAtArchives)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	out, release := metered{budget: b}, func() {}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")):
		out.from, err = gzip.NewReader(buffered)
	case bytes.HasPrefix(head, []byte("BZh")):
		out.from, err = bzip2.NewReader(buffered), nil
	case bytes.HasPrefix(head, []byte(xzMagic)):
		out.from, err = newXZReader(buffered, b.spend), nil
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		var decoder *zstd.Decoder
		decoder, err = zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			out.from, release = decoder, decoder.Close
		}
	case len(head) > 262 && string(head[257:262]) == "ustar":
		out.from, err = buffered, nil
	default:
		return nil, nil, errPacking
	}
	if err != nil {
		return nil, nil, unpackError(err)
	}
	return out, release, nil
}

// unpackError is damage, unless it is known what else an error is.
func unpackError(err error) error {
	var failed *fs.PathError // of a disk, and not of what is on it
	switch {
	case errors.Is(err, errTooLarge), errors.Is(err, errPacking), errors.Is(err, ErrDamaged), errors.As(err, &failed):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("%w: %w", errPacking, err)
	}
	return damaged("it cannot be unpacked (%v)", err)
}

// contents are the small files of an archive that are read, by the last element of
// their names: of several with one name the first with the shortest path.
type contents map[string]contained

type contained struct {
	depth int
	text  []byte
}

// text is nil if there is no such file.
func (c contents) text(name string) []byte { return c[name].text }

// enough reports whether nothing that a package of a kind has can come any more that
// would count.
func (c contents) enough(kind Kind) bool {
	for _, name := range []string{"version.info", "scene.info"} {
		if found, ok := c[name]; !ok || found.depth > 0 {
			return false
		}
	}
	_, specific := c["specific_func.inc"]
	return specific || kind == Firmware
}

// wanted reports whether a file of an archive is read.
func wanted(name string) bool {
	switch path.Base(name) {
	case "version.info", "scene.info":
		return true
	case "specific_func.inc":
		return strings.HasSuffix("/"+name, "/driver/script/specific_func.inc")
	case "control":
		return name == "control"
	}
	return false
}

// read adds the files of a packed tar. It reads all of it, so that damage shows, unless
// enough says that this is not needed.
// errPacking if it is packed in a way that is not known.
func (c *contents) read(packed io.Reader, b *budget, enough func(contents) bool) error {
	stream, release, err := unpacked(packed, b)
	if err != nil {
		return err
	}
	defer release()
	if *c == nil {
		*c = contents{}
	}
	for files := tar.NewReader(stream); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = c.take(header, files)
		}
		if err != nil {
			return unpackError(err)
		}
		if enough(*c) {
			return nil
		}
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return unpackError(err)
	}
	return nil
}

// take reads a file if it is one that counts.
func (c *contents) take(header *tar.Header, content io.Reader) error {
	name := path.Clean(strings.TrimPrefix(header.Name, "/"))
	if header.Typeflag != tar.TypeReg || header.Size > maxFileInside || !wanted(name) {
		return nil
	}
	depth := strings.Count(name, "/")
	if before, there := (*c)[path.Base(name)]; there && before.depth <= depth {
		return nil
	}
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	(*c)[path.Base(name)] = contained{depth, text}
	return nil
}
