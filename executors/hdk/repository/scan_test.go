package repository_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

func TestNamesOfPackages(t *testing.T) {
	for name, want := range map[string]repository.Package{
		"Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run":    {Kind: repository.Driver, Chip: ascend.Chip910B, Arch: "aarch64", Version: "24.1.0.3"},
		"Ascend-hdk-910b-npu-driver_24.1.0.3_linux-x86-64.run":     {Kind: repository.Driver, Chip: ascend.Chip910B, Arch: "x86_64", Version: "24.1.0.3"},
		"Ascend-hdk-310p-npu-driver_24.1.RC3.6_linux-x86_64.run":   {Kind: repository.Driver, Chip: ascend.Chip310P, Arch: "x86_64", Version: "24.1.rc3.6"},
		"Ascend-hdk-910b-npu-firmware_7.5.0.5.220.run":             {Kind: repository.Firmware, Chip: ascend.Chip910B, Arch: "noarch", Version: "7.5.0.5.220"},
		"Ascend-hdk-A3-npu-driver_24.1.rc3.10_linux-aarch64.run":   {Kind: repository.Driver, Chip: ascend.Chip910_93, Arch: "aarch64", Version: "24.1.rc3.10"},
		"Ascend-hdk-310b-npu-driver-soc_23.0.0_linux-aarch64.run":  {Kind: repository.Driver, Chip: ascend.Chip310B, Arch: "aarch64", Version: "23.0.0"},
		"Atlas-A5-hdk-npu-driver_26.1.0_linux-aarch64.run":         {Kind: repository.Driver, Chip: ascend.Chip950, Arch: "aarch64", Version: "26.1.0"},
		"Ascend-hdk-910-npu-firmware_7.1.0.3.220.run":              {Kind: repository.Firmware, Chip: ascend.Chip910, Arch: "noarch", Version: "7.1.0.3.220"},
		"Ascend-hdk-910b-npu-driver-25.5.2-1.aarch64.rpm":          {Kind: repository.Driver, Chip: ascend.Chip910B, Arch: "aarch64", Version: "25.5.2"},
		"Ascend-hdk-910b-npu-driver-25.2.0-1.x86-64.rpm":           {Kind: repository.Driver, Chip: ascend.Chip910B, Arch: "x86_64", Version: "25.2.0"},
		"Ascend-hdk-910b-npu-firmware-7.8.0.7.220-1.noarch.rpm":    {Kind: repository.Firmware, Chip: ascend.Chip910B, Arch: "noarch", Version: "7.8.0.7.220"},
		"Ascend-hdk-910b-npu-driver_25.0.rc1.1_linux-aarch64.deb":  {Kind: repository.Driver, Chip: ascend.Chip910B, Arch: "aarch64", Version: "25.0.rc1.1"},
		"Ascend-hdk-A3-npu-driver_25.5.2_amd64.deb":                {Kind: repository.Driver, Chip: ascend.Chip910_93, Arch: "x86_64", Version: "25.5.2"},
		"Ascend-hdk-910b-npu-firmware_7.8.0.7.220_all.deb":         {Kind: repository.Firmware, Chip: ascend.Chip910B, Arch: "noarch", Version: "7.8.0.7.220"},
		"Ascend-hdk-910b-mcu_25.50.10.hpm":                         {Kind: repository.MCU, Chip: ascend.Chip910B, Arch: "noarch", Version: "25.50.10"},
		"Ascend-hdk-310p-mcu_23.2.4.zip":                           {Kind: repository.MCU, Chip: ascend.Chip310P, Arch: "noarch", Version: "23.2.4"},
		"Ascend-hdk-910b-mcu_25.50.10.run":                         {},
		"Ascend-hdk-910b-npu-driver_24.1.0.3.run":                  {},
		"A300-3010-npu-driver_20.2.2_centos7.6-x86_64.run":         {},
		"Ascend-hdk-910b-npu-driver_newest_linux-aarch64.run":      {},
		"Ascend-hdk-910b-npu_25.0.rc1_sph001_linux.run":            {},
		"Ascend-hdk-910b-npu-driver_1.0_linux-aarch64.run; reboot": {},
	} {
		got, err := repository.ParseName(name)
		if got != want || (err == nil) != (want.Kind != "") {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// build puts packages into a subfolder of dir.
func build(t *testing.T, dir, sub string, packages ...fakehost.Package) []fakehost.Built {
	t.Helper()
	built, err := fakehost.BuildPackages(filepath.Join(dir, sub), packages)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func driver(version, requires string) fakehost.Package {
	return fakehost.Package{Kind: fakehost.Driver, Chip: "910b", Version: version, Requires: requires}
}

func firmware(version, requires string) fakehost.Package {
	return fakehost.Package{Kind: fakehost.Firmware, Chip: "910b", Version: version, Requires: requires}
}

func TestScanMakesAnIndex(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, "", driver("24.1.0", "[7.5.0,7.5.99]"), firmware("7.5.0.2.220", ""), firmware("7.8.0.7.220", "[25.0.rc1,25.9.9]"),
		fakehost.Package{Kind: fakehost.Firmware, Chip: "310p", Version: "7.5.0.5.220"})
	together := build(t, dir, "25.5.2", driver("25.5.2", "[1.0,2.0]"), firmware("7.8.0.7.220", ""))
	for name, text := range map[string]string{
		"README.txt": "not a package", "some.run": "not named as one",
		"Ascend-hdk-910b-npu-firmware_7.9.0.1.220.run": "#!/bin/sh\nno archive\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	index, notes, err := repository.Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[ascend.Version][]string{}
	for _, r := range index.Releases {
		for _, p := range r.Packages {
			got[r.Version] = append(got[r.Version], string(p.Kind)+" "+string(p.Version)+" "+p.Requires)
			if err := repository.Verify(filepath.Join(dir, p.File), p); err != nil {
				t.Error(err)
			}
		}
	}
	want := map[ascend.Version][]string{
		"24.1.0": {"driver 24.1.0 [7.5.0,7.5.99]", "firmware 7.5.0.2.220 "},
		"25.5.2": {"driver 25.5.2 [1.0,2.0]", "firmware 7.8.0.7.220 "},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	wantNotes := []string{
		"Ascend-hdk-310p-npu-firmware_7.5.0.5.220.run: no driver here goes with it; it is left out",
		"Ascend-hdk-910b-npu-firmware_7.8.0.7.220.run: no driver here goes with it; it is left out",
		"Ascend-hdk-910b-npu-firmware_7.9.0.1.220.run: has no version.info that can be read; it is listed without ranges",
		"Ascend-hdk-910b-npu-firmware_7.9.0.1.220.run: no driver here goes with it; it is left out",
		`some.run: left out: "some.run" is not named as an HDK package`,
	}
	if diff := cmp.Diff(wantNotes, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := repository.ParseIndex(raw); err != nil || !cmp.Equal(again, index) {
		t.Errorf("read back: %v\n%s", err, cmp.Diff(index, again))
	}
	if err := repository.WriteIndex(dir, raw); err != nil {
		t.Fatal(err)
	}
	if len(together) != 2 {
		t.Error(together)
	}
}

func TestAPackageThatIsNotWhatItsNameSaysIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	built := build(t, dir, "", driver("24.1.0", ""))
	other := strings.Replace(built[0].Path, "24.1.0", "24.1.0.3", 1)
	if err := os.Rename(built[0].Path, other); err != nil {
		t.Fatal(err)
	}
	index, notes, err := repository.Scan(dir)
	if err != nil || len(index.Releases) > 0 || len(notes) != 1 || !strings.Contains(notes[0], "its version.info says 24.1.0") {
		t.Errorf("%+v, %q, %v", index, notes, err)
	}
}

func FuzzVersionInfo(f *testing.F) {
	dir := f.TempDir()
	built, err := fakehost.BuildPackages(dir, []fakehost.Package{firmware("7.5.0.2.220", "")})
	if err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(built[0].Path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("#!/bin/sh\nexit\nBZh91AY"))
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := repository.VersionInfo(bytes.NewReader(data))
		if err == nil && info.Version == "" {
			t.Error("a version.info without a version")
		}
		if bytes.Equal(data, whole) && (err != nil || info.Version != "7.5.0.2.220") {
			t.Errorf("got %+v, %v", info, err)
		}
		if errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
}
