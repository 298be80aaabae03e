package repository

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Cache keeps the packages a host fetched, in a folder for root only.
//
// A package is a file named by its digest, and by its digest and .part while it
// is incomplete. If the process dies while a part is written, the next Fetch
// goes on where it ends; if it dies before the rename, the part is whole and is
// verified again; after it, the package is there.
//
// A file to which there is a second (hard) link is named by a task and is not
// evicted. A Cache is safe for concurrent use; two processes must not share one.
type Cache struct {
	Dir string
	// Limit is how many bytes are kept, those linked elsewhere not counted; 0: 8 GiB.
	// A single package may be larger.
	Limit int64
	// Pause is the first pause before a source that failed is tried again, doubled
	// with each try that brought nothing; 0: 1 s.
	Pause time.Duration

	mu sync.Mutex
}

// ErrDamaged says that a package is not what the index declares, or (Examine) not as
// it was made: cut off, longer, altered.
var ErrDamaged = errors.New("not what the index declares")

const defaultLimit = 8 << 30

// Index reads the index of a repository, with the patience that Fetch has for
// packages: a server that is being restarted has not lost it. Errors are as
// Fetch's, and those of ParseIndex.
func (c *Cache) Index(ctx context.Context, source Source) (Index, error) {
	for patience := newPatience(c.Pause); ; {
		data, err := readIndex(ctx, source)
		if err == nil {
			return ParseIndex(data)
		}
		if err := patience.after(ctx, err); err != nil {
			return Index{}, fmt.Errorf("read %s: %w", IndexFile, err)
		}
	}
}

func readIndex(ctx context.Context, source Source) ([]byte, error) {
	file, err := source.Open(ctx, IndexFile, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, MaxIndex+1))
}

// Fetch puts a package of source into the cache, unless it is there, and links
// it into dir as its own file, executable by its owner only. What it returns was
// verified. progress, if not nil, is called with how many bytes are there.
//
// ErrDamaged, fs.ErrNotExist and the cause of ctx can be told apart; other errors
// are those of the source or the disk.
func (c *Cache) Fetch(ctx context.Context, source Source, p Package, dir string, progress func(int64)) (string, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	path := filepath.Join(dir, filepath.Base(p.File))
	if Verify(path, p) == nil {
		return path, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := filepath.Join(c.Dir, p.SHA256)
	if Verify(kept, p) != nil {
		if err := c.download(ctx, source, p, kept, progress); err != nil {
			return "", fmt.Errorf("fetch %s: %w", p.File, err)
		}
	}
	now := time.Now()
	if err := errors.Join(os.Chtimes(kept, now, now), link(kept, path)); err != nil {
		return "", fmt.Errorf("keep %s: %w", p.File, err)
	}
	return path, nil
}

// Verify reads a file and says whether it is the package. It returns ErrDamaged
// or why the file cannot be read.
func Verify(path string, p Package) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(file, p.Size+1))
	if err != nil {
		return err
	}
	return p.compare(n, sum.Sum(nil))
}

func (p Package) compare(size int64, sum []byte) error {
	if size != p.Size {
		return fmt.Errorf("%w: it has %d bytes or more, not %d", ErrDamaged, size, p.Size)
	}
	if got := hex.EncodeToString(sum); got != p.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is %s, not %s", ErrDamaged, got, p.SHA256)
	}
	return nil
}

// link makes path another name of kept, or a copy where that cannot be.
func link(kept, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(kept, temp); err != nil {
		if err := copyFile(kept, temp); err != nil {
			return err
		}
	}
	return os.Rename(temp, path)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// download brings a package to kept. A part that was left by a former download
// is gone on with; if the whole is wrong then, it is fetched once more from the
// beginning.
func (c *Cache) download(ctx context.Context, source Source, p Package, kept string, progress func(int64)) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	if err := c.makeRoom(p); err != nil {
		return err
	}
	for {
		resumed, err := c.try(ctx, source, p, kept, progress)
		if err == nil || !errors.Is(err, ErrDamaged) {
			return err
		}
		if removed := os.Remove(kept + ".part"); removed != nil || !resumed {
			return errors.Join(err, removed)
		}
	}
}

func (c *Cache) try(ctx context.Context, source Source, p Package, kept string, progress func(int64)) (resumed bool, err error) {
	part, err := os.OpenFile(kept+".part", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o700)
	if err != nil {
		return false, err
	}
	defer part.Close()
	sum := sha256.New()
	have, err := io.Copy(sum, io.LimitReader(part, p.Size+1))
	if err != nil {
		return false, err
	}
	resumed = have > 0
	got := &tally{size: have, progress: progress}
	if err := c.fill(ctx, source, p, got, io.MultiWriter(part, sum, got)); err != nil {
		return resumed, err
	}
	if err := p.compare(got.size, sum.Sum(nil)); err != nil {
		return resumed, err
	}
	return resumed, errors.Join(part.Sync(), os.Rename(kept+".part", kept), syncDir(c.Dir))
}

// fill downloads what is missing, as often as it takes while something comes.
func (c *Cache) fill(ctx context.Context, source Source, p Package, got *tally, to io.Writer) error {
	for patience := newPatience(c.Pause); got.size < p.Size; {
		before := got.size
		err := piece(ctx, source, p, got, to)
		if got.size > before {
			patience.renew()
		}
		if err == nil {
			continue
		}
		if err := patience.after(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// piece reads from where the part ends to the end of the package. A source that
// ends early is damaged; one byte more than declared is read, to notice it.
func piece(ctx context.Context, source Source, p Package, got *tally, to io.Writer) error {
	from, err := source.Open(ctx, p.File, got.size)
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err = io.Copy(to, io.LimitReader(from, p.Size+1-got.size)); err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", got.size, p.Size, err)
	}
	if got.size < p.Size {
		return fmt.Errorf("%w: it ends after %d bytes, not %d", ErrDamaged, got.size, p.Size)
	}
	return nil
}

// tally counts what is written.
type tally struct {
	size     int64
	progress func(int64)
}

func (t *tally) Write(p []byte) (int, error) {
	t.size += int64(len(p))
	t.progress(t.size)
	return len(p), nil
}

// makeRoom evicts what was used longest ago until there is room for p.
func (c *Cache) makeRoom(p Package) error {
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	room := cmp.Or(c.Limit, defaultLimit) - p.Size
	var old []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(info.Name(), p.SHA256) || linked(info) {
			continue
		}
		room -= info.Size()
		old = append(old, info)
	}
	slices.SortFunc(old, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range old {
		if room >= 0 {
			return nil
		}
		if err := os.Remove(filepath.Join(c.Dir, info.Name())); err != nil {
			return err
		}
		room += info.Size()
	}
	return nil
}

// linked reports whether a file has another name.
func linked(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 1
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
