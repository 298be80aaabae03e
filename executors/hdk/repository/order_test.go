package repository_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

// listed is Scan, and what each release lists, in order.
func listed(t *testing.T, dir string) (lines []string) {
	t.Helper()
	index, _, err := repository.Scan(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range index.Releases {
		for _, p := range r.Packages {
			lines = append(lines, fmt.Sprintf("%s %s", r.Version, p.File))
		}
	}
	return lines
}

func TestTheOrderOfAnIndexIsNotTheFolders(t *testing.T) {
	image := "Ascend-hdk-910b-mcu_25.50.10.hpm"
	first := t.TempDir()
	for _, format := range []string{fakehost.Deb, fakehost.Run, fakehost.RPM} {
		for _, arch := range []string{"x86_64", "aarch64"} {
			build(t, first, "", fakehost.Package{Kind: fakehost.Driver, Format: format, Chip: "910b", Arch: arch, Version: "24.1.0"},
				fakehost.Package{Kind: fakehost.Firmware, Format: format, Chip: "910b", Version: "7.5.0.2.220"})
		}
	}
	build(t, first, "", driver("23.0.0", ""), fakehost.Package{Kind: fakehost.Driver, Chip: "310p", Arch: "aarch64", Version: "24.1.0"})
	put(t, first, image, []byte("image"))
	put(t, first, "a-copy.run", get(t, filepath.Join(first, "Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run")))
	names, err := os.ReadDir(first)
	if err != nil {
		t.Fatal(err)
	}
	second := t.TempDir()
	for i := range names { // the other way round
		name := names[len(names)-1-i].Name()
		put(t, second, name, get(t, filepath.Join(first, name)))
	}
	got := listed(t, first)
	if diff := cmp.Diff(got, listed(t, second)); diff != "" {
		t.Errorf("another order (-first +second):\n%s", diff)
	}
	const release = "24.1.0 Ascend-hdk-910b-npu-"
	want := []string{
		"24.1.0 Ascend-hdk-310p-npu-driver_24.1.0_linux-aarch64.run",
		release + "driver_24.1.0_linux-aarch64.run", release + "driver_24.1.0_linux-aarch64.deb", release + "driver-24.1.0-1.aarch64.rpm",
		release + "driver_24.1.0_linux-x86-64.run", release + "driver_24.1.0_linux-x86-64.deb", release + "driver-24.1.0-1.x86-64.rpm",
		release + "firmware_7.5.0.2.220.run", "24.1.0 a-copy.run", release + "firmware_7.5.0.2.220.deb", release + "firmware-7.5.0.2.220-1.noarch.rpm",
		"24.1.0 " + image,
	}
	if diff := cmp.Diff(want, got[len(got)-len(want):]); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestRangesOfOnePackageCountForTheOthersOfItsVersion has a driver as .run and as rpm,
// which declares none.
func TestRangesOfOnePackageCountForTheOthersOfItsVersion(t *testing.T) {
	rpm := fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910b", Arch: "aarch64", Version: "24.9.1"}
	run := fakehost.Package{Kind: fakehost.Driver, Chip: "910b", Arch: "aarch64", Version: "24.9.1", Requires: "[7.5.0,7.5.99]"}
	for what, folder := range map[string]string{"in one folder": "", "in another": "release"} {
		dir := t.TempDir()
		build(t, dir, "", rpm, firmware("7.5.0.2.220", ""), firmware("7.9.0.2.220", ""))
		build(t, dir, folder, run)
		for _, line := range listed(t, dir) {
			if line == "24.9.1 Ascend-hdk-910b-npu-firmware_7.9.0.2.220.run" {
				t.Errorf("%s: a firmware is listed that the driver does not go with", what)
			}
		}
	}
	// A firmware's ranges count for its rpm too.
	dir := t.TempDir()
	build(t, dir, "", driver("24.9.1", ""), fakehost.Package{Kind: fakehost.Firmware, Format: fakehost.RPM, Chip: "910b", Version: "7.5.0.2.220"},
		firmware("7.5.0.2.220", "[25.0,25.9]"))
	if got := listed(t, dir); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	// What a package declares itself counts, whatever another declares.
	dir = t.TempDir()
	build(t, dir, "", driver("24.9.1", "[7.9.0,7.9.99]"), firmware("7.5.0.2.220", ""), firmware("7.9.0.2.220", ""))
	build(t, dir, "r", run)
	var own []string
	for _, line := range listed(t, dir) {
		if line == "24.9.1 Ascend-hdk-910b-npu-firmware_7.9.0.2.220.run" || line == "24.9.1 Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run" {
			own = append(own, line)
		}
	}
	if len(own) != 1 || own[0] != "24.9.1 Ascend-hdk-910b-npu-firmware_7.9.0.2.220.run" {
		t.Errorf("got %q", own)
	}
}
