package fakehost_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/test/fakehost"
)

func TestPackagesAreNamedAsHuaweiNamesThem(t *testing.T) {
	tests := []struct {
		pkg  fakehost.Package
		want string
	}{
		{fakehost.Package{Kind: fakehost.Driver, Chip: "910b", Arch: "aarch64", Version: "24.1.0.3"}, "Ascend-hdk-910b-npu-driver_24.1.0.3_linux-aarch64.run"},
		{fakehost.Package{Kind: fakehost.Driver, Chip: "310p", Arch: "x86_64", Version: "24.1.1.1"}, "Ascend-hdk-310p-npu-driver_24.1.1.1_linux-x86-64.run"},
		{fakehost.Package{Kind: fakehost.Driver, Chip: "910_93", Arch: "aarch64", Version: "24.1.rc3.10"}, "Atlas-A3-hdk-npu-driver_24.1.rc3.10_linux-aarch64.run"},
		{fakehost.Package{Kind: fakehost.Firmware, Chip: "910_93", Version: "7.5.0.109.220"}, "Atlas-A3-hdk-npu-firmware_7.5.0.109.220.run"},
		{fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910_93", Arch: "aarch64", Version: "26.0.rc1"}, "Atlas-A3-hdk-npu-driver-26.0.rc1-1.aarch64.rpm"},
		{fakehost.Package{Kind: fakehost.Firmware, Chip: "910b", Version: "7.5.0.5.220"}, "Ascend-hdk-910b-npu-firmware_7.5.0.5.220.run"},
	}
	for _, tt := range tests {
		if got := tt.pkg.FileName(); got != tt.want {
			t.Errorf("FileName() = %s, want %s", got, tt.want)
		}
	}
}

func TestAPackageIsARealArchiveWithItsVersionsInside(t *testing.T) {
	dir := t.TempDir()
	pair, err := fakehost.Release{Driver: "24.1.rc3.10", Firmware: "7.5.0.109.220"}.Packages(fakehost.A3)
	must(t, err)
	pair[0].Arch, pair[0].Pad = "aarch64", 100_000
	pair[1].Requires = "[24.1.rc3,24.1.rc3.99]"
	built, err := fakehost.BuildPackages(dir, pair)
	must(t, err)
	again, err := fakehost.BuildPackages(filepath.Join(dir, "again"), pair)
	must(t, err)
	want := []string{"compatible_version_fw=[6.4.0,6.4.99],[7.0.0,7.6.99]", "compatible_version_drv=[24.1.rc3,24.1.rc3.99]"}
	for i, b := range built {
		if b.SHA256 != again[i].SHA256 {
			t.Errorf("%s has other bytes when it is built again", b.FileName())
		}
		out := filepath.Join(dir, b.Kind)
		if text, err := exec.Command(b.Path, "--noexec", "--target", out).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		info, err := os.ReadFile(filepath.Join(out, "version.info"))
		must(t, err)
		if !strings.Contains(string(info), want[i]) || !strings.HasPrefix(string(info), "Version="+b.Version+"\n") {
			t.Errorf("version.info of %s:\n%s", b.FileName(), info)
		}
	}
	if built[0].Size < 100_000 {
		t.Errorf("a package with 100,000 bytes of padding has %d bytes", built[0].Size)
	}
	if built[1].Arch != "noarch" {
		t.Errorf("the architecture of firmware is %s, want noarch", built[1].Arch)
	}
}

func TestWithoutMakeselfTheErrorSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := fakehost.BuildPackages(t.TempDir(), nil)
	if !errors.Is(err, fakehost.ErrNoMakeself) || !strings.Contains(err.Error(), "apt-get install makeself") {
		t.Errorf("the error is %v", err)
	}
}
