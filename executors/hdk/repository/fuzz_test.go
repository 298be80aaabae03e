package repository_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

// fuzzBound is how much may be unpacked of what the fuzzer writes: two dictionaries of
// xz of the usual size, and as much again.
const fuzzBound = 24 << 20

// said is what a package says of itself, read within a bound of memory and time: both
// follow from the bytes that are read, unpacked and held, which are counted.
func said(t *testing.T, format repository.Format, data []byte) (repository.Package, error) {
	t.Helper()
	got, work, err := repository.SaidWithin(fuzzBound, format, data)
	if most := 3*int64(len(data)) + 4096; work.Read > most { // the header, the checksums, the content
		t.Errorf("%d bytes were read of %d", work.Read, len(data))
	}
	if work.Unpacked > fuzzBound && !errors.Is(err, repository.ErrTooLarge) {
		t.Errorf("%d bytes were unpacked, and the error is %v", work.Unpacked, err)
	}
	return got, err
}

// fuzzed looks for a file of a format that breaks what reads it, or of which it says
// something that cannot be.
func fuzzed(f *testing.F, format string, seeds ...[]byte) {
	whole := one(f, fakehost.Package{Kind: fakehost.Driver, Format: format, Chip: "910b", Arch: "aarch64", Version: "24.1.0"})
	for _, seed := range append(seeds, whole, whole[:len(whole)/2]) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := said(t, repository.Format(format), data)
		switch {
		case err == nil && got.Version == "":
			t.Errorf("a package without a version: %+v", got)
		case bytes.Equal(data, whole) && (err != nil || got.Version != "24.1.0" || got.Chip != a2):
			t.Errorf("got %+v, %v", got, err)
		case len(data) < 8 && !errors.Is(err, repository.ErrDamaged) && !errors.Is(err, repository.ErrNoVersionInfo):
			t.Error(err)
		}
	})
}

func FuzzRun(f *testing.F) {
	raw := tarOf(f, "./version.info", "Version=1.2.3\n", "./driver/script/specific_func.inc", "device_bdf=0x19e5:0xd802\n")
	bare := header{variables: "MD5=\"0\""}
	fuzzed(f, fakehost.Run, []byte("#!/bin/sh\nexit\nBZh91AY"), archive(header{}, raw), archive(bare, raw), archive(bare, pack(f, "gzip", raw)),
		archive(header{old: true, variables: "SHA=\"0\""}, pack(f, "zstd", raw)), archive(bare, get(f, filepath.Join("testdata", "firmware.tar.bz2"))))
}

// FuzzXZ lets the fuzzer write an xz file without its having to keep a size or a
// checksum right.
func FuzzXZ(f *testing.F) {
	raw := tarOf(f, "./version.info", "Version=1.2.3\n", "./noise", string(bytes.Repeat([]byte("0123456789"), 1000)))
	f.Add(pack(f, "xz", raw))
	f.Add(pack(f, "xz with SHA-256", raw))
	f.Add(append(pack(f, "xz without a check", raw), pack(f, "xz", raw)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		content := archive(header{variables: "SHA=\"0\""}, data)
		got, err := said(t, repository.Run, content)
		if err == nil && got.Version == "" {
			t.Errorf("a package without a version: %+v", got)
		}
	})
}

func FuzzRPM(f *testing.F) { fuzzed(f, fakehost.RPM, []byte("\xed\xab\xee\xdb")) }

func FuzzDeb(f *testing.F) { fuzzed(f, fakehost.Deb, []byte("!<arch>\n")) }
