package repository_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

var errStop = errors.New("the agent is being stopped")

// deb is one with a data.tar, made by hand.
func deb(t testing.TB, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name    string
		content []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar", tarOf(t, "./control", "Package: Ascend910B-driver\nVersion: 24.1.0\nArchitecture: arm64\n")},
		{name, data},
	} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.content))
		b.Write(m.content)
		if len(m.content)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// stopping is a file that calls stop once it is read at an offset or behind it.
type stopping struct {
	*bytes.Reader
	at   int64
	stop func()
}

func (s stopping) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > s.at {
		s.stop()
	}
	return s.Reader.ReadAt(p, offset)
}

// What is read of a file in one go may become a thousand times as much.
func TestAStopEndsTheUnpackingOfAPackage(t *testing.T) {
	large := append(tarOf(t, "./control", "x"), make([]byte, 60<<20)...)
	for _, way := range []string{"gzip", "xz", "zstd"} {
		data := pack(t, way, large)
		whole := deb(t, "data.tar", data)
		for format, content := range map[repository.Format][]byte{repository.Deb: whole, repository.Run: archive(header{}, data)} {
			ctx, stop := context.WithCancelCause(t.Context())
			file := stopping{bytes.NewReader(content), int64(len(content) - len(data)), func() { stop(errStop) }}
			unpacked, err := repository.Unpacked(ctx, file, int64(len(content)), format)
			if !errors.Is(err, errStop) || unpacked > 32<<20 {
				t.Errorf("%s, %s: %d bytes were unpacked, %v", format, way, unpacked, err)
			}
			unpacked, err = repository.Unpacked(t.Context(), bytes.NewReader(content), int64(len(content)), format)
			if errors.Is(err, repository.ErrDamaged) || unpacked < 60<<20 {
				t.Errorf("%s, %s, not stopped: %d bytes were unpacked, %v", format, way, unpacked, err)
			}
			stop(nil)
		}
	}
}

func TestAStopEndsExaminingAndScanning(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errStop)
	dir := t.TempDir()
	for _, format := range []string{fakehost.Run, fakehost.RPM, fakehost.Deb} {
		path := put(t, dir, "x."+format, one(t, formatted(anyDriver, format)))
		if err := repository.Examine(ctx, path, repository.Package{File: filepath.Base(path)}); !errors.Is(err, errStop) {
			t.Errorf("%s: %v", format, err)
		}
	}
	put(t, dir, "Ascend-hdk-910b-mcu_25.50.10.hpm", []byte("image"))
	if index, notes, err := repository.Scan(ctx, dir); !errors.Is(err, errStop) || len(index.Releases)+len(notes) > 0 {
		t.Errorf("%+v, %q, %v", index, notes, err)
	}
}
