package repository_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

var anyDriver = fakehost.Package{Kind: fakehost.Driver, Chip: "910_93", Arch: "aarch64", Version: "26.0.rc1", Requires: "[7.0.0,8.9.9]", Pad: 50_000}

func TestWhatAPackageSaysOfItself(t *testing.T) {
	a3Driver := repository.Package{Kind: repository.Driver, Chip: a3, Arch: "aarch64", Version: "26.0.rc1"}
	ranged := a3Driver
	ranged.Requires = "[7.0.0,8.9.9]"
	for _, c := range []struct {
		pkg  fakehost.Package
		want repository.Package
	}{
		{anyDriver, ranged},
		{formatted(anyDriver, fakehost.RPM), a3Driver},
		{formatted(anyDriver, fakehost.Deb), a3Driver},
		{fakehost.Package{Kind: fakehost.Firmware, Chip: "310p", Version: "7.5.0.5.220", Requires: "[24.1.0,24.1.9]"},
			repository.Package{Kind: repository.Firmware, Chip: ascend.Chip310P, Version: "7.5.0.5.220", Requires: "[24.1.0,24.1.9]"}},
		{fakehost.Package{Kind: fakehost.Firmware, Format: fakehost.RPM, Chip: "910b", Version: "7.5.0.5.220"},
			repository.Package{Kind: repository.Firmware, Chip: a2, Arch: "noarch", Version: "7.5.0.5.220"}},
		{fakehost.Package{Kind: fakehost.Firmware, Format: fakehost.Deb, Chip: "910b", Version: "7.5.0.5.220"},
			repository.Package{Kind: repository.Firmware, Chip: a2, Arch: "noarch", Version: "7.5.0.5.220"}},
		{fakehost.Package{Kind: fakehost.Driver, Chip: "310b", Arch: "x86_64", Version: "24.1.0"},
			repository.Package{Kind: repository.Driver, Chip: ascend.Chip310B, Arch: "x86_64", Version: "24.1.0"}},
	} {
		format := c.pkg.Format
		if format == "" {
			format = fakehost.Run
		}
		got, err := repository.Said(repository.Format(format), one(t, c.pkg))
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v", c.pkg.FileName(), got, err)
		}
	}
}

func formatted(p fakehost.Package, format string) fakehost.Package {
	p.Format = format
	return p
}

func TestADamagedPackageIsSeen(t *testing.T) {
	for _, format := range []string{fakehost.Run, fakehost.RPM, fakehost.Deb} {
		whole := one(t, formatted(anyDriver, format))
		middle := bytes.Clone(whole)
		middle[len(middle)/2] ^= 0x10
		last := bytes.Clone(whole)
		last[len(last)-30] ^= 0x10
		for how, content := range map[string][]byte{
			"in the middle": middle, "at the end": last,
			"a byte shorter": whole[:len(whole)-2], "half of it": whole[:len(whole)/2], "the first bytes": whole[:70], "nothing": nil,
			"a byte longer": append(bytes.Clone(whole), 'x'), "twice": append(bytes.Clone(whole), whole...),
			"another file": []byte("<html>not found</html>"), "zeros": make([]byte, len(whole)),
		} {
			_, err := repository.Said(repository.Format(format), content)
			if !errors.Is(err, repository.ErrDamaged) || strings.Contains(err.Error(), "download") {
				t.Errorf("%s, %s: %v", format, how, err)
			}
		}
	}
}

func TestArchivesAreReadHoweverTheyArePacked(t *testing.T) {
	raw := tarOf(t, "./install.sh", strings.Repeat("echo\n", 50_000), "./driver/version.info", "Version=1.2.3\n", "./version.info", "Version=25.5.0.B071\nascendhal_version=1\ncompatible_version_fw=[7.0.0,8.9.9]\n",
		"./scene.info", "os=linux\narch=x86-64\n", "./driver/script/specific_func.inc", "# for\ndevice_bdf=\"0x19e5:0xd802\"\n")
	want := repository.Package{Kind: repository.Driver, Chip: a2, Arch: "x86_64", Version: "25.5.0.b071", Requires: "[7.0.0,8.9.9]"}
	for _, way := range []string{"not at all", "gzip", "xz", "xz with SHA-256", "xz without a check", "zstd"} {
		for _, h := range []header{{}, {old: true}, {unknown: true}, {label: "ASCEND DRIVER RUN PACKAGE"}, {variables: `CRCsum="0000000000"`}} {
			whole := archive(h, pack(t, way, raw))
			if got, err := repository.Said(repository.Run, whole); err != nil || got != want {
				t.Errorf("%s, %+v: got %+v, %v", way, h, got, err)
			}
			if _, err := repository.Said(repository.Run, whole[:len(whole)-1]); !errors.Is(err, repository.ErrDamaged) {
				t.Errorf("%s, %+v, shorter: %v", way, h, err)
			}
		}
		if way == "not at all" {
			continue
		}
		packed := pack(t, way, raw)
		for _, cut := range []int{len(packed) / 2, len(packed) - 3} { // with nothing to compare it with
			if _, err := repository.Said(repository.Run, archive(header{variables: `SHA="00"`}, packed[:cut])); !errors.Is(err, repository.ErrDamaged) {
				t.Errorf("%s, cut at %d: %v", way, cut, err)
			}
		}
	}
	got, err := repository.Said(repository.Run, archive(header{}, get(t, "testdata/firmware.tar.bz2")))
	if want := (repository.Package{Kind: repository.Firmware, Version: "7.5.0.2.220"}); err != nil || got != want {
		t.Errorf("bzip2: got %+v, %v", got, err)
	}
}

func TestChecksumsOfAnArchive(t *testing.T) {
	payload := tarOf(t, "version.info", "Version=7.5.0.2.220\nfirmware_version=1\n")
	sum := posixSum(payload)
	for _, c := range []struct {
		h    header
		want string
	}{
		{header{variables: `CRCsum="` + sum + `"`}, ""},
		{header{variables: `CRCsum="1` + sum[1:] + `"`}, "the payload's checksum is "},
		{header{variables: `MD5="d41d8cd98f00b204e9800998ecf8427e"`}, "the payload's MD5 is "},
		{header{variables: `SHA="abc"`}, `and it carries "abc"`},
		{header{sizes: "10"}, "bytes are too many at its end"},
		{header{sizes: "999999"}, "bytes are missing at its end"},
		{header{sizes: "-1"}, "no sizes of the payload"},
		{header{sizes: "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"}, "no sizes of the payload"},
		{header{sizes: strconv.Itoa(len(payload)) + " 99999999999999999999"}, "no sizes of the payload"},
	} {
		_, err := repository.Said(repository.Run, archive(c.h, payload))
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, repository.ErrDamaged) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c.h, err)
		}
	}
}

// posixSum is what cksum prints, by its definition: bit by bit.
func posixSum(content []byte) string {
	for n := len(content); n > 0; n >>= 8 {
		content = append(bytes.Clone(content), byte(n))
	}
	var crc uint32
	for _, b := range content {
		for bit := 7; bit >= 0; bit-- {
			high := crc>>31 ^ uint32(b>>bit)&1
			if crc <<= 1; high == 1 {
				crc ^= 0x04c11db7
			}
		}
	}
	return strconv.FormatUint(uint64(^crc), 10)
}

func TestOnlyRegularFilesAreExamined(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.rpm"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "real.rpm", one(t, formatted(anyDriver, fakehost.RPM)))
	if err := os.Symlink("real.rpm", filepath.Join(dir, "link.rpm")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.deb"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"pipe.rpm": "is not a regular file", "link.rpm": "too many levels of symbolic links", "folder.deb": "is not a regular file",
		"none.rpm": "no such file",
	} {
		if err := repository.Examine(t.Context(), filepath.Join(dir, name), repository.Package{File: name}); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, repository.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPackagesOfPackageManagersThatAreNotOfHDK(t *testing.T) {
	whole := one(t, fakehost.Package{Kind: "toolkit", Format: fakehost.RPM, Chip: "910b", Arch: "aarch64", Version: "8.0.0"})
	if _, err := repository.Said(repository.RPM, whole); err == nil || !strings.Contains(err.Error(), `is the rpm of a package "Ascend910B-toolkit", which is not a driver or a firmware`) {
		t.Error(err)
	}
}

func TestUnpackingIsBounded(t *testing.T) {
	begin, zeros := tarOf(t, "version.info", "Version=1.2.3\n"), make([]byte, 1<<20)
	for _, way := range []string{"gzip", "xz", "zstd"} { // each may be several behind one another
		bomb := append(pack(t, way, begin), bytes.Repeat(pack(t, way, zeros), 250)...)
		_, err := repository.Said(repository.Run, archive(header{}, bomb))
		if err == nil || !strings.Contains(err.Error(), "is larger than any package is: it unpacks to more than ") {
			t.Errorf("%s: %v", way, err)
		}
	}
	// An archive in several parts, each of which would be small enough alone.
	part := pack(t, "gzip", append(tarOf(t, "noise", "x"), make([]byte, 40<<20)...))
	sizes := strings.TrimSuffix(strings.Repeat(strconv.Itoa(len(part))+" ", 8), " ")
	many := archive(header{sizes: sizes, variables: `SHA="0"`, old: true}, bytes.Repeat(part, 8))
	if _, err := repository.Said(repository.Run, many); err == nil || !strings.Contains(err.Error(), "is larger than any package is: it unpacks to more than ") {
		t.Errorf("several parts: %v", err)
	}
	// A block of xz that asks for a dictionary of 4 GiB.
	large := pack(t, "xz", zeros[:4096])
	setDictionary(large, 40)
	if _, err := repository.Said(repository.Run, archive(header{}, large)); err == nil || !strings.Contains(err.Error(), "unpacking takes 4294967296 bytes of memory") {
		t.Error(err)
	}
}

func TestAnArchiveThatIsPackedInAnotherWayIsKnownByWhatItsHeaderSays(t *testing.T) {
	label := header{label: "ASCEND-HDK-910B-NPU FIRMWARE RUN PACKAGE"}
	filtered := pack(t, "xz", tarOf(t, "version.info", "Version=1.2.3\n"))
	otherFilter(filtered)
	for how, payload := range map[string][]byte{"unknown": bytes.Repeat([]byte("secret"), 1000), "an unknown filter of xz": filtered} {
		whole := archive(label, payload)
		got, err := repository.Said(repository.Run, whole)
		if want := (repository.Package{Kind: repository.Firmware, Chip: a2}); !errors.Is(err, repository.ErrNoVersionInfo) || got != want {
			t.Errorf("%s: got %+v, %v", how, got, err)
		}
		dir := t.TempDir()
		put(t, dir, "x/Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run", sealed())
		put(t, dir, "x/Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run", whole)
		put(t, dir, "x/Atlas-A3-hdk-npu-firmware_7.5.0.2.220.run", whole)
		if files, notes := scan(t, dir); len(files) != 2 || len(notes) != 3 || !strings.Contains(notes[2], "its name says chip 910_93, its content 910b") {
			t.Errorf("%s: got %q, %q", how, files, notes)
		}
	}
}

// xz -T gives each of many small blocks the dictionary of its level, which none fills.
func TestManySmallBlocksOfXZAreRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "content.tar")
	content := tarOf(t, "version.info", "Version=24.1.0\n", "noise", strings.Repeat("a driver's module, or what is as easy to pack\n", 700_000))
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range [][]string{{"-9", "--threads=2", "--block-size=1MiB"}, {"--lzma2=preset=1,dict=8MiB", "--block-size=64KiB", "--threads=2"}} {
		packed, err := exec.Command("xz", append(options, "--stdout", name)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if p, err := repository.Said(repository.Run, archive(header{label: "ASCEND DRIVER RUN PACKAGE"}, packed)); err != nil || p.Version != "24.1.0" {
			t.Errorf("%v: %+v, %v", options, p, err)
		}
	}
}
