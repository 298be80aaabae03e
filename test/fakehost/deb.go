package fakehost

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

var errNotDeb = errors.New("fakehost: not a deb")

// debArchs are the architectures that a deb names otherwise than uname -m.
var debArchs = map[string]string{"aarch64": "arm64", "x86_64": "amd64", "noarch": "all"}

const arHeader = 60

// wrapDeb makes a deb, which is an ar archive (deb(5)), whose data is an archive.
func wrapDeb(p Package, archive []byte) ([]byte, error) {
	control := fmt.Sprintf("Package: %s\nVersion: %s-1\nArchitecture: %s\nMaintainer: Huawei\nDescription: Ascend HDK %s\n",
		strings.ReplaceAll(strings.ToLower(p.MetadataName()), "_", "-"), p.Version, debArchs[p.arch()], p.Kind)
	out := []byte(Magic[Deb])
	add := func(name string, content []byte) {
		out = fmt.Appendf(out, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, 1700000000, 0, 0, 0o100644, len(content))
		out = append(out, content...)
		if len(content)%2 != 0 {
			out = append(out, '\n')
		}
	}
	add("debian-binary", []byte("2.0\n"))
	for _, part := range []struct {
		member, name string
		content      []byte
		mode         int64
	}{{"control.tar.gz", "./control", []byte(control), 0o644}, {"data.tar.gz", payloadName, archive, 0o755}} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		err := w.WriteHeader(&tar.Header{Name: part.name, Mode: part.mode, Size: int64(len(part.content)), ModTime: time.Unix(1700000000, 0)})
		if err == nil {
			_, err = w.Write(part.content)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			return nil, err
		}
		content, err := packed(b.Bytes())
		if err != nil {
			return nil, err
		}
		add(part.member, content)
	}
	return out, nil
}

// OpenDeb takes the package's name and the archive out of a deb of a fake host.
func OpenDeb(path string) (name string, archive []byte, err error) {
	whole, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	rest, is := bytes.CutPrefix(whole, []byte(Magic[Deb]))
	if !is {
		return "", nil, errNotDeb
	}
	files := map[string][]byte{}
	for len(rest) >= arHeader {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || size < 0 || size > len(rest)-arHeader {
			return "", nil, errNotDeb
		}
		files[strings.TrimSpace(string(rest[:16]))] = rest[arHeader : arHeader+size]
		rest = rest[min(arHeader+size+size%2, len(rest)):]
	}
	control, err := onlyFile(files["control.tar.gz"])
	if err != nil {
		return "", nil, err
	}
	archive, err = onlyFile(files["data.tar.gz"])
	for line := range strings.Lines(string(control)) {
		if value, is := strings.CutPrefix(line, "Package: "); is {
			name = strings.TrimSpace(value)
		}
	}
	return name, archive, err
}

// onlyFile is the first file in a packed tar.
func onlyFile(packed []byte) ([]byte, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	files := tar.NewReader(unpacked)
	if _, err := files.Next(); err != nil {
		return nil, err
	}
	return io.ReadAll(files)
}
