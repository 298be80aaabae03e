package repository_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

// scan is Scan, and the files that are listed, in order.
func scan(t *testing.T, dir string) (files, notes []string) {
	t.Helper()
	index, notes, err := repository.Scan(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range index.Releases {
		for _, p := range r.Packages {
			files = append(files, p.File)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), notes
}

func TestANameThatLiesIsLeftOutWithBoth(t *testing.T) {
	a2Driver := one(t, driver("24.1.0", ""))
	a2Firmware := one(t, firmware("7.5.0.2.220", ""))
	rpm := one(t, fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910b", Arch: "aarch64", Version: "24.1.0"})
	machine := map[string]string{"amd64": "x86-64", "arm64": "aarch64"}[runtime.GOARCH]
	other := map[string]string{"amd64": "aarch64", "arm64": "x86-64"}[runtime.GOARCH]
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"Ascend-hdk-910b-npu-driver_24.1.0.3_linux-" + machine + ".run": {a2Driver, "its name says version 24.1.0.3, its content 24.1.0;"},
		"Ascend-hdk-310p-npu-driver_24.1.0_linux-" + machine + ".run":   {a2Driver, "its name says chip 310p, its content 910b;"},
		"Ascend-hdk-910b-npu-driver_24.1.0_linux-" + other + ".run":     {a2Driver, "its name says architecture " + strings.ReplaceAll(other, "-", "_") + ", its content "},
		"Ascend-hdk-910b-npu-firmware_24.1.0.run":                       {a2Driver, "its name says kind firmware, its content driver;"},
		"Atlas-A3-hdk-npu-firmware_7.5.0.2.220.run":                     {a2Firmware, "its name says chip 910_93, its content 910b;"},
		"Ascend-hdk-910b-npu-firmware-24.1.0-1.noarch.rpm":              {rpm, "its name says kind firmware, its content driver;"},
		"Atlas-A3-hdk-npu-driver-24.1.0-1.aarch64.rpm":                  {rpm, "its name says chip 910_93, its content 910b;"},
		"Ascend-hdk-910b-npu-driver-24.1.0-1.x86-64.rpm":                {rpm, "its name says architecture x86_64, its content aarch64;"},
		"Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.deb":           {rpm, "is damaged: it does not begin as a deb does;"},
		"Ascend-hdk-910b-npu_24.1.0_linux-aarch64.zip":                  {a2Driver, "it is a bundle of a driver and a firmware; unpack it"},
		"Ascend-hdk-910b-npu-driver_24.1.0_sph001_linux.run":            {a2Driver, "it is a patch of a driver"},
		"A300-3010-npu-driver_20.2.2_centos7.6-x86_64.run":              {a2Driver, "it is named after an old product"},
		"Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64 (1).run":       {a2Driver, "it looks like a copy or an unfinished download"},
		"Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run.part":      {a2Driver, "it looks like a copy or an unfinished download"},
		"Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run.1":         {a2Driver, "it looks like a copy or an unfinished download"},
		"Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run":           {a2Driver[:len(a2Driver)-1], "is damaged: 1 byte is missing at its end; download it again"},
		"setup.run": {[]byte("#!/bin/sh\nexit 1\n"), `"setup.run" is not named as an HDK package, and has no header of a makeself archive: it is cut or not a package; download it again`},
	} {
		dir := t.TempDir()
		put(t, dir, name, c.content)
		files, notes := scan(t, dir)
		if len(files) > 0 || len(notes) != 1 || !strings.Contains(notes[0], name) || !strings.Contains(notes[0], ": left out: "+c.want) || repository.LeftOut(notes) != 1 {
			t.Errorf("%s: got %q, %q, want %q", name, files, notes, c.want)
		}
	}
}

func TestContentIsEnoughWhereTheNameSaysNothing(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "driver.run", one(t, driver("24.1.0", "[7.5.0,7.5.99]")))
	put(t, dir, "Firmware (1).run", nil)
	put(t, dir, "fw.run", one(t, firmware("7.5.0.2.220", "")))
	put(t, dir, "driver.rpm", one(t, fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910b", Version: "24.1.0"}))
	put(t, dir, "driver.deb", one(t, fakehost.Package{Kind: fakehost.Driver, Format: fakehost.Deb, Chip: "910b", Version: "24.1.0"}))
	label := header{label: "ASCEND FIRMWARE RUN PACKAGE"}
	payload := pack(t, "gzip", tarOf(t, "version.info", "Version=7.5.0.2.220\n"))
	put(t, dir, "nameless.run", archive(label, payload))
	put(t, dir, "Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run", archive(label, payload))
	put(t, dir, "Ascend-hdk-910b-npu-firmware_latest.run", archive(label, payload))
	two := "device_bdf=\"0x19e5:0xd802|0x19e5:0xd803\"\n"
	both := archive(header{}, pack(t, "gzip", tarOf(t, "version.info", "Version=24.1.0\nascendhal_version=1\n", "scene.info", "arch=aarch64\n", "driver/script/specific_func.inc", two)))
	put(t, dir, "both.run", both)
	put(t, dir, "Atlas-A3-hdk-npu-driver_24.1.0_linux-aarch64.run", both)
	put(t, dir, "Ascend-hdk-310p-npu-driver_24.1.0_linux-aarch64.run", both)

	files, notes := scan(t, dir)
	want := []string{"Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run", "Atlas-A3-hdk-npu-driver_24.1.0_linux-aarch64.run", "driver.deb", "driver.rpm", "driver.run", "fw.run"}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	wantNotes := []string{
		`"Firmware (1).run": left out: its name or folder has letters that are not used in an index; give it its name back`,
		"Ascend-hdk-310p-npu-driver_24.1.0_linux-aarch64.run: left out: its name says chip 310p, its content 910b or 910_93; give it its name back, or download it again",
		"Ascend-hdk-910b-npu-firmware_latest.run: left out: neither its name nor its content says which chip it is for; give it the name that Huawei gave it",
		"both.run: left out: its content is for the chips 910b or 910_93, and its name does not say for which; give it its name back",
		"driver.deb: an rpm or deb declares no ranges that can be read; it is listed without ranges",
		"driver.rpm: an rpm or deb declares no ranges that can be read; it is listed without ranges",
		"fw.run: is the same version as Ascend-hdk-910b-npu-firmware_7.5.0.2.220.run with another content, and hosts take that one; remove one of them",
		"nameless.run: left out: neither its name nor its content says which chip it is for; give it the name that Huawei gave it",
	}
	if diff := cmp.Diff(wantNotes, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if got := repository.LeftOut(notes); got != 5 {
		t.Errorf("%d are left out", got)
	}
}

func TestAFirmwareForAnyArchitectureMayBeNamedForOne(t *testing.T) {
	dir := t.TempDir()
	driver := "r/Ascend-hdk-910b-npu-driver-24.1.0-1.aarch64.rpm"
	firmware := "r/Ascend-hdk-910b-npu-firmware-7.5.0.2.220-1.aarch64.rpm"
	put(t, dir, driver, one(t, fakehost.Package{Kind: fakehost.Driver, Format: fakehost.RPM, Chip: "910b", Arch: "aarch64", Version: "24.1.0"}))
	put(t, dir, firmware, one(t, fakehost.Package{Kind: fakehost.Firmware, Format: fakehost.RPM, Chip: "910b", Version: "7.5.0.2.220"}))
	if files, notes := scan(t, dir); !cmp.Equal(files, []string{driver, firmware}) || repository.LeftOut(notes) > 0 {
		t.Errorf("got %q, %q", files, notes)
	}
}

func TestAFolderThatSomebodyFilledWithOtherThings(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	name := "Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run"
	whole := one(t, fakehost.Package{Kind: fakehost.Driver, Chip: "910b", Arch: "aarch64", Version: "24.1.0"})
	put(t, dir, "a/b/c/d/"+name, whole)
	put(t, dir, "a/b/c/d/e/f/g/"+name, whole)
	put(t, dir, ".git/config", []byte("x"))
	put(t, outside, name, whole)
	put(t, dir, "index.json", []byte("{}"))
	put(t, dir, "index.signed.json", []byte("{}"))
	put(t, dir, "bad\x1b[2Jname\n.run", whole)
	for link, to := range map[string]string{"out": outside, "out.run": filepath.Join(outside, name), "loop": ".", "loop.run": "loop.run", "inside.run": "a/b/c/d/" + name} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "socket.run"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	sparse := put(t, dir, "Ascend-hdk-910b-mcu_25.50.10.hpm", nil)
	tail := put(t, dir, "tail.run", whole)
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, name), 0o600), os.Truncate(sparse, 1<<43), os.Truncate(tail, 1<<32)); err != nil {
		t.Fatal(err)
	}
	files, notes := scan(t, dir)
	if diff := cmp.Diff([]string{"a/b/c/d/" + name}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	want := []string{
		`".git": left out: it and what is in it: its name has letters that are not used in an index; give it another`,
		`"bad\x1b[2Jname\n.run": left out: its name or folder has letters that are not used in an index; give it its name back`,
		"Ascend-hdk-910b-mcu_25.50.10.hpm: left out: is larger than any package is: it has 8796093022208 bytes",
		name + ": left out: it is a pipe and not a regular file",
		"a/b/c/d/e: left out: it and what is in it: it is too deep, below more than 4 folders; put its packages higher",
		"inside.run: left out: it is a link, and links are not followed; put the file itself here",
		"loop.run: left out: it is a link, and links are not followed; put the file itself here",
		"loop: left out: it is a link, and links are not followed; put the file itself here",
		"out.run: left out: it is a link, and links are not followed; put the file itself here",
		"out: left out: it is a link, and links are not followed; put the file itself here",
		"socket.run: left out: it is a socket and not a regular file",
		fmt.Sprintf(`tail.run: left out: "tail.run" is not named as an HDK package, and is damaged: %d bytes are too many at its end; download it again`, 1<<32-len(whole)),
	}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestAFileThatCannotBeReadDoesNotEndTheScan(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	name := "Ascend-hdk-910b-npu-driver_24.1.0_linux-aarch64.run"
	whole := one(t, fakehost.Package{Kind: fakehost.Driver, Chip: "910b", Arch: "aarch64", Version: "24.1.0"})
	put(t, dir, "good/"+name, whole)
	secret := put(t, dir, "secret/"+name, whole)
	if err := errors.Join(os.Chmod(put(t, dir, name, whole), 0), os.Chmod(filepath.Dir(secret), 0)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Dir(secret), 0o700)
	// Root may read anything, so this thread reads files as nobody. It is not used again.
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
			}
		}
		files, notes := scan(t, dir)
		want := []string{
			name + ": left out: cannot be read: permission denied",
			"secret: left out: it and what is in it cannot be read: permission denied",
		}
		if !cmp.Equal(files, []string{"good/" + name}) || !cmp.Equal(notes, want) {
			t.Errorf("got %q, %q", files, notes)
		}
	}()
	<-done
}

func TestFoldersWithMoreThanAnIndexHas(t *testing.T) {
	dir, whole := t.TempDir(), sealed()
	for i := range 3000 {
		put(t, dir, fmt.Sprintf("sub/Ascend-hdk-910b-npu-driver_24.1.%d_linux-aarch64.run", i), whole)
	}
	files, notes := scan(t, dir)
	if len(files) != 3000 || len(notes) != 3000 || !slices.IsSorted(notes) || repository.LeftOut(notes) != 0 {
		t.Errorf("%d files, %d notes", len(files), len(notes))
	}
	if _, _, err := repository.Scan(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A pipe blocks whoever opens it, and no context ends that; a folder cannot be read.
func TestOnlyRegularFilesOfAFolderAreOpened(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"linked": func(path string) error { return os.Symlink("pipe", path) },
	} {
		if err := make(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pipe", "folder", "linked"} {
		cache := repository.Cache{Dir: t.TempDir()}
		_, err := cache.Fetch(t.Context(), repository.Folder(dir), repository.Package{File: name, Size: 1}, t.TempDir(), nil)
		if err == nil || !strings.Contains(err.Error(), name+" is not a regular file") || strings.Contains(err.Error(), "tried") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A repack beside Huawei's own package: both are listed, hosts take Huawei's, and it is
// noted.
func TestOfTwoPackagesOfOneVersionHuaweisNameCountsMore(t *testing.T) {
	dir := t.TempDir()
	own := "Ascend-hdk-910b-npu-driver_24.1.0_linux-x86-64.run"
	put(t, dir, own, one(t, driver("24.1.0", "")))
	put(t, dir, "Ascend-hdk-910b-npu-driver_24.1.0_linux-x86-64-custom.run", one(t, driver("24.1.0", "[7.0,7.9]")))
	index, notes, err := repository.Scan(t.Context(), dir)
	if err != nil || len(index.Releases) != 1 || index.Releases[0].Packages[0].File != own {
		t.Fatalf("%+v, %v, %q", index, err, notes)
	}
	want := []string{"Ascend-hdk-910b-npu-driver_24.1.0_linux-x86-64-custom.run: is the same version as " + own + " with another content, and hosts take that one; remove one of them"}
	if diff := cmp.Diff(want, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestLinesOfWindowsAreNamed(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.run", bytes.ReplaceAll(sealed(), []byte("\n"), []byte("\r\n")))
	const want = "is damaged: its lines end as on Windows, so something converted it; download it again"
	if files, notes := scan(t, dir); len(files) > 0 || len(notes) != 1 || !strings.HasSuffix(notes[0], want) {
		t.Errorf("%q, %q", files, notes)
	}
}

func TestAnImageOfNoBytesIsEmpty(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "Ascend-hdk-910b-mcu_25.50.10.hpm", nil)
	if files, notes := scan(t, dir); len(files) > 0 || len(notes) != 1 || notes[0] != "Ascend-hdk-910b-mcu_25.50.10.hpm: left out: is damaged: it is empty; download it again" {
		t.Errorf("%q, %q", files, notes)
	}
}
