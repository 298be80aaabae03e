package logs

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"devserver-agent/executors"
	"devserver-agent/executors/secret"
	"devserver-agent/protocol"
)

// bundle is what was packed.
type bundle struct {
	At      int64    `json:"at"` // epoch ms
	Files   int      `json:"files"`
	Size    int64    `json:"size"` // bytes, packed
	SHA256  string   `json:"sha256"`
	Omitted []string `json:"omitted,omitempty"` // what is not in it, and why
}

// Bounds of a bundle, beside the job's own.
const (
	maxFile    = 64 << 20 // bytes of one file; of a longer one the end is taken
	maxFiles   = 20_000
	maxOmitted = 100
	packTime   = 20 * time.Minute
)

// String lists a bundle for the task's output.
func (b bundle) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "packed %d files, %s\n", b.Files, size(b.Size))
	for _, o := range b.Omitted {
		fmt.Fprintf(&text, "left out: %s\n", o)
	}
	return text.String()
}

func (b bundle) omitted() string {
	if len(b.Omitted) == 0 {
		return ""
	}
	return fmt.Sprintf("; left out: %d, see MISSING in it", len(b.Omitted))
}

// packer writes a bundle.
type packer struct {
	made bundle
	left int64 // bytes that may still go in
	tar  *tar.Writer
	now  time.Time
}

// pack writes the bundle below scratch. It ends early, with what it has, when it takes
// too long.
func (c Collect) pack(ctx context.Context, host executors.Host, o order, scratch, note string) (bundle, error) {
	bounded, cancel := context.WithTimeout(ctx, packTime)
	defer cancel()
	file, err := os.OpenFile(filepath.Join(scratch, bundleFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return bundle{}, fmt.Errorf("make the bundle: %w", err)
	}
	sum := sha256.New()
	// One thread: the host has better things to do.
	packed, err := zstd.NewWriter(io.MultiWriter(file, sum), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return bundle{}, errors.Join(err, file.Close())
	}
	now := time.Now()
	p := &packer{made: bundle{At: protocol.Millis(now)}, left: o.limit, tar: tar.NewWriter(packed), now: now}
	if note != "" {
		p.omit("%s", note)
	}
	err = c.fill(bounded, host, o, scratch, p)
	if err == nil && len(p.made.Omitted) > 0 {
		err = p.text("MISSING", strings.Join(p.made.Omitted, "\n")+"\n")
	}
	err = errors.Join(err, p.tar.Close(), packed.Close(), file.Sync())
	info, statErr := file.Stat()
	if err = errors.Join(err, statErr, file.Close()); err != nil {
		return bundle{}, fmt.Errorf("pack the bundle: %w", err)
	}
	if ctx.Err() != nil {
		return bundle{}, context.Cause(ctx)
	}
	p.made.Size, p.made.SHA256 = info.Size(), hex.EncodeToString(sum.Sum(nil))
	return p.made, nil
}

func (p *packer) omit(format string, args ...any) {
	switch n := len(p.made.Omitted); {
	case n < maxOmitted:
		p.made.Omitted = append(p.made.Omitted, protocol.Clip(fmt.Sprintf(format, args...)))
	case n == maxOmitted:
		p.made.Omitted = append(p.made.Omitted, "and more")
	}
}

// text adds a text under a name, unless it is empty. An error is the bundle's own: it cannot be written.
func (p *packer) text(name, content string) error {
	content = secret.Mask(content)
	switch {
	case content == "":
		return nil
	case int64(len(content)) > p.left:
		p.omit("%s: no room", name)
		return nil
	}
	p.left -= int64(len(content))
	p.made.Files++
	header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: p.now}
	if err := p.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.WriteString(p.tar, content)
	return err
}

// folder adds the files below a folder under a name. Links and what is no file are
// left out: whoever may write a log must not choose what is sent. The folder is
// opened as it is found, and what moves meanwhile stays in it.
func (p *packer) folder(ctx context.Context, dir, as string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !info.IsDir() {
		p.omit("%s: it is no folder", as)
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		p.omit("%s: %v", as, err)
		return nil
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			p.omit("%s and what follows: no time", path.Join(as, name))
			return fs.SkipAll
		case err != nil:
			p.omit("%s: %v", path.Join(as, name), err)
			return nil
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			p.omit("%s: it is no file", path.Join(as, name))
			return nil
		case p.made.Files >= maxFiles:
			p.omit("%s and what follows: more than %d files", path.Join(as, name), maxFiles)
			return fs.SkipAll
		}
		return p.file(root, name, path.Join(as, name))
	})
}

// file adds a file, or the end of a long one, as long as it was when it was opened.
func (p *packer) file(root *os.Root, name, as string) error {
	file, err := root.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		p.omit("%s: %v", as, err)
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		p.omit("%s: it is no file", as)
		return nil
	}
	length := min(info.Size(), maxFile)
	if length > p.left {
		p.omit("%s: no room for its %s", as, size(length))
		return nil
	}
	if info.Size() > maxFile {
		p.omit("%s: all but its last %s", as, size(maxFile))
	}
	content := make([]byte, length)
	n, err := file.ReadAt(content, info.Size()-length)
	if err != nil && !errors.Is(err, io.EOF) {
		p.omit("%s: %v", as, err)
		return nil
	}
	content = content[:n]
	if isText(content) {
		content = []byte(secret.Mask(string(content)))
	}
	p.left -= int64(len(content))
	p.made.Files++
	header := &tar.Header{Name: as, Mode: 0o600, Size: int64(len(content)), ModTime: info.ModTime()}
	if err := p.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err = p.tar.Write(content)
	return err
}

// isText reports whether a file begins like one that people read.
func isText(content []byte) bool {
	head := content[:min(len(content), 8<<10)]
	for len(head) > 0 && !utf8.RuneStart(head[len(head)-1]) {
		head = head[:len(head)-1]
	}
	return bytes.IndexByte(head, 0) < 0
}
