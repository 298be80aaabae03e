package repository_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"devserver-agent/test/fakehost"
)

// header is that of a makeself archive, with what differs between versions.
type header struct {
	label     string
	variables string // besides label, filesizes and totalsize; "" are a SHA-256 and an MD5
	sizes     string // "" is the right ones
	old       bool   // as makeself 2.3 wrote it: no skip, no totalsize
	unknown   bool   // where the payload begins is said in a way that is not known
}

// archive is a makeself archive of a payload, made by hand.
func archive(h header, payload []byte) []byte {
	if h.variables == "" {
		h.variables = fmt.Sprintf("CRCsum=\"0000000000\"\nMD5=\"%x\"\nSHA=\"%x\"", md5.Sum(payload), sha256.Sum256(payload))
	}
	if h.sizes == "" {
		h.sizes = fmt.Sprint(len(payload))
	}
	text := "#!/bin/sh\n# This script was generated using Makeself 2.4.0\n" + h.variables + "\nlabel=\"" + h.label + "\"\nfilesizes=\"" + h.sizes + "\"\n"
	switch {
	case h.unknown:
		text += "offset=$(another way)\n"
	case h.old:
		lines := strings.Count(text, "\n") + 2
		text += fmt.Sprintf("offset=`head -n %d \"$0\" | wc -c | tr -d \" \"`\nexit 0\n", lines)
	default:
		lines := strings.Count(text, "\n") + 3
		text += fmt.Sprintf("totalsize=\"%d\"\nskip=\"%d\"\nexit 0\n", len(payload), lines)
	}
	return append([]byte(text), payload...)
}

// sealed is a makeself archive with a payload that only its own script can unpack.
func sealed() []byte { return archive(header{}, []byte("Salted__ and what follows")) }

// tarOf is a tar of files, name and text by turns.
func tarOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pack packs bytes in a way.
func pack(t testing.TB, way string, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	var w interface {
		Write(p []byte) (int, error)
		Close() error
	}
	switch way {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "xz with SHA-256":
		w, err = xz.WriterConfig{CheckSum: xz.SHA256, DictCap: 1 << 20, BlockSize: 1 << 16}.NewWriter(&b)
	case "xz without a check":
		w, err = xz.WriterConfig{NoCheckSum: true, DictCap: 1 << 16}.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	default:
		return raw
	}
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put writes a file and returns its path.
func put(t testing.TB, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// get reads a file.
func get(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// one is a real package.
func one(t testing.TB, p fakehost.Package) []byte {
	t.Helper()
	built, err := fakehost.BuildPackages(t.TempDir(), []fakehost.Package{p})
	if err != nil {
		t.Fatal(err)
	}
	return get(t, built[0].Path)
}

// setDictionary gives the first block of an xz file a dictionary of another size.
func setDictionary(file []byte, bits byte) {
	alterBlock(file, func(filter []byte) { filter[2] = bits })
}

// otherFilter gives it another filter.
func otherFilter(file []byte) { alterBlock(file, func(filter []byte) { filter[0] = 0x04 }) }

func alterBlock(file []byte, alter func(filter []byte)) {
	block := file[12 : 12+(int(file[12])+1)*4]
	alter(block[bytes.Index(block, []byte{0x21, 1}):])
	binary.LittleEndian.PutUint32(block[len(block)-4:], crc32.ChecksumIEEE(block[:len(block)-4]))
}
