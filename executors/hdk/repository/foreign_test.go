package repository_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"devserver-agent/executors/hdk/repository"
)

const escape = "\x1b[2J\a"

// debOf is a deb whose control file has an architecture.
func debOf(t *testing.T, arch string) []byte {
	t.Helper()
	whole := deb(t, "data.tar", tarOf(t, "./x", "x"))
	before, after := tarOf(t, "./control", "Package: Ascend910B-driver\nVersion: 24.1.0\nArchitecture: arm64\n"), tarOf(t, "./control", "Package: Ascend910B-driver\nVersion: 24.1.0\nArchitecture: "+arch+"\n")
	if len(before) != len(after) {
		t.Fatalf("a control.tar of %d bytes, not %d", len(after), len(before))
	}
	return []byte(strings.Replace(string(whole), string(before), string(after), 1))
}

// scene is a driver whose scene.info names an architecture.
func scene(t *testing.T, label, version, arch string) []byte {
	t.Helper()
	return archive(header{label: label}, pack(t, "gzip", tarOf(t, "version.info", version, "scene.info", "arch="+arch+"\n")))
}

func TestTextOfAPackageIsQuoted(t *testing.T) {
	for name, c := range map[string]struct {
		format  repository.Format
		content []byte
		want    string
	}{
		"deb":            {repository.Deb, debOf(t, "a"+escape), `the architecture "a\x1b[2J\a" is not one that is known`},
		"deb of an i386": {repository.Deb, debOf(t, "i386"), `the architecture "i386" is not one that is known`},
		"scene.info":     {repository.Run, scene(t, "ASCEND-HDK-910B-NPU DRIVER RUN PACKAGE", "Version=24.1.0\n", "a"+escape), `the architecture "a\x1b[2J\a" is not one that is known`},
		"totalsize":      {repository.Run, []byte(strings.Replace(string(sealed()), `totalsize="`, `totalsize="`+escape, 1)), `two sizes of the payload, "\x1b[2J\a`},
		"a deb's file":   {repository.Deb, []byte(strings.Replace(string(deb(t, "data.tar.xxxxxx", []byte("secret"))), "xxxxxx", ".\x1b[2J\x07", 1)), `its "data.tar..\x1b[2J\a" is packed`},
	} {
		dir := t.TempDir()
		put(t, dir, "Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64."+string(c.format), c.content)
		files, notes := scan(t, dir)
		if len(files) > 0 || len(notes) != 1 || !strings.Contains(notes[0], c.want) || strings.ContainsFunc(notes[0], unicode.IsControl) {
			t.Errorf("%s: got %q, %q", name, files, notes)
		}
	}
}

func TestAnIndexWithAnArchitectureThatIsNotAWordIsRefused(t *testing.T) {
	for arch, ok := range map[string]bool{"aarch64": true, "x86_64": true, "noarch": true, "x86-64": true, "": true, `a\u001b[2J`: false, "a b": false, "é": false, strings.Repeat("x", 33): false} {
		_, err := repository.ParseIndex(fmt.Appendf(nil, `{"releases":[{"version":"24.1.0","packages":[{"kind":"driver","chip":"910b","arch":"%s","version":"24.1.0","file":"a.run","size":1,"sha256":"%064d"}]}]}`, arch, 0))
		if (err == nil) != ok || err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("%q: %v", arch, err)
		}
	}
}

func TestRangesHaveNoControlCharacters(t *testing.T) {
	index, err := repository.ParseIndex(fmt.Appendf(nil, `{"releases":[{"version":"24.1.0","packages":[{"kind":"driver","chip":"910b","arch":"aarch64","version":"24.1.0",
		"requires":"[7.5.0,\t7.5.9],\f\r [8.0,8.1]","file":"a.run","size":1,"sha256":"%064d"}]}]}`, 0))
	if err != nil || index.Releases[0].Packages[0].Requires != "[7.5.0, 7.5.9], [8.0,8.1]" {
		t.Errorf("%+v, %v", index, err)
	}
}

// TestAFirmwareRunsOnAnyHost has a scene.info in each, which says where it was built.
func TestAFirmwareRunsOnAnyHost(t *testing.T) {
	for what, c := range map[string]struct{ name, label, version, arch string }{
		"known by its label":       {"x.run", "ASCEND-HDK-910B-NPU FIRMWARE RUN PACKAGE", "Version=7.5.0.2.220\n", "x86_64"},
		"by its version.info":      {"Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run", "", "Version=7.5.0.2.220\nfirmware_version=1.0\n", "x86_64"},
		"by its name":              {"Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run", "", "Version=7.5.0.2.220\n", "x86_64"},
		"without a version.info":   {"Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run", "", "", "x86_64"},
		"built on another machine": {"Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run", "", "Version=7.5.0.2.220\n", "riscv64"},
	} {
		dir := t.TempDir()
		driver := "r/Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run"
		put(t, dir, driver, sealed())
		content := scene(t, c.label, c.version, c.arch)
		path := put(t, dir, "r/"+c.name, content)
		index, notes, err := repository.Scan(t.Context(), dir)
		if err != nil || len(index.Releases) != 1 || len(index.Releases[0].Packages) != 2 {
			t.Errorf("%s: %+v, %q, %v", what, index, notes, err)
			continue
		}
		for _, p := range index.Releases[0].Packages {
			if p.Kind == repository.Firmware && p.Arch != repository.NoArch {
				t.Errorf("%s: %+v", what, p)
			}
		}
		declared := repository.Package{Kind: repository.Firmware, Chip: a2, Arch: "aarch64", Version: "7.5.0.2.220", File: c.name}
		if err := repository.Examine(t.Context(), path, declared); err != nil {
			t.Errorf("%s: examined: %v", what, err)
		}
	}
}
