package repository_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/test/fakehost"
)

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
		"Ascend-hdk-910b-npu-firmware_7.9.0.1.220.run": string(sealed()),
		"Ascend-hdk-910b-npu-firmware_7.9.0.2.220.run": "#!/bin/sh\nno archive\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	index, notes, err := repository.Scan(t.Context(), dir)
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
		"Ascend-hdk-310p-npu-firmware_7.5.0.5.220.run: left out: no driver here goes with it; put the driver of its release beside it",
		"Ascend-hdk-910b-npu-firmware_7.8.0.7.220.run: left out: no driver here goes with it; put the driver of its release beside it",
		"Ascend-hdk-910b-npu-firmware_7.9.0.1.220.run: has no version.info that can be read: it is packed in a way that is not known; it is listed by its name, without ranges",
		"Ascend-hdk-910b-npu-firmware_7.9.0.1.220.run: left out: no driver here goes with it; put the driver of its release beside it",
		"Ascend-hdk-910b-npu-firmware_7.9.0.2.220.run: left out: has no header of a makeself archive: it is cut or not a package; download it again",
		"README.txt: left out: it is not a package (.run, .rpm, .deb, .hpm or .zip)",
		`some.run: left out: "some.run" is not named as an HDK package, and is damaged: it does not begin with #! as a .run does; download it again`,
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
	index, notes, err := repository.Scan(t.Context(), dir)
	if err != nil || len(index.Releases) > 0 || len(notes) != 1 || !strings.HasSuffix(notes[0], ": left out: its name says version 24.1.0.3, its content 24.1.0; give it its name back, or download it again") {
		t.Errorf("%+v, %q, %v", index, notes, err)
	}
}
