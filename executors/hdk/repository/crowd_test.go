package repository_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
)

const putIntoSubfolders = "put the packages of each release into a subfolder of their own"

// crowd is a folder of n drivers and n firmwares of which the names are all that is known.
func crowd(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		put(t, dir, fmt.Sprintf("Ascend-hdk-910b-npu-driver_24.9.%d_linux-aarch64.run", i), sealed())
		put(t, dir, fmt.Sprintf("Ascend-hdk-910b-npu-firmware_7.5.%d.2.220.run", i), sealed())
	}
	return dir
}

func TestAFolderInWhichEachDriverMayGoWithEachFirmware(t *testing.T) {
	for n, fits := range map[int]bool{90: true, 500: false, 3000: false} {
		index, _, err := repository.Scan(t.Context(), crowd(t, n))
		if !fits && (err == nil || !strings.Contains(err.Error(), putIntoSubfolders)) {
			t.Errorf("%d drivers and %d firmwares: %d releases, %v", n, n, len(index.Releases), err)
		}
		if fits && (err != nil || len(index.Releases) != n || len(index.Releases[0].Packages) != n+1) {
			t.Errorf("%d drivers and %d firmwares: %d releases, %v", n, n, len(index.Releases), err)
		}
	}
}

// TestTheWorkOfMakingReleasesIsBounded counts comparisons, and not time.
func TestTheWorkOfMakingReleasesIsBounded(t *testing.T) {
	const n = 3000
	// Ranges that hold no version of the other kind: all of them are compared, and nothing is listed.
	elsewhere := strings.TrimSuffix(strings.Repeat("[1.0.0,1.0.1],", 64), ",")
	each := func(version ascend.Version) func(int) ascend.Version {
		return func(i int) ascend.Version { return version + ascend.Version(fmt.Sprintf(".%d", i)) }
	}
	same := func(version ascend.Version) func(int) ascend.Version {
		return func(int) ascend.Version { return version }
	}
	for name, c := range map[string]struct {
		driver, firmware func(int) ascend.Version
		requires         string
		together         bool
	}{
		"nothing is known of their versions": {each("24.9"), each("7.5"), "", false},
		"one driver many times":              {same("24.9.9"), each("7.5"), "", false},
		"one driver whose pair is not there": {same("24.1.0"), each("7.5"), elsewhere, false},
		"none goes with any":                 {each("24.9"), each("7.5"), elsewhere, false},
		"they belong together":               {each("24.9"), each("7.5"), "", true},
	} {
		var packages []repository.Package
		for i := range n {
			packages = append(packages,
				repository.Package{Kind: repository.Driver, Chip: a2, Version: c.driver(i), File: fmt.Sprintf("d%d.run", i), Requires: c.requires},
				repository.Package{Kind: repository.Firmware, Chip: a2, Version: c.firmware(i), File: fmt.Sprintf("f%d.run", i), Requires: c.requires})
		}
		releases, _, compared, err := repository.Group(packages, c.together)
		if compared > repository.MaxMatching {
			t.Errorf("%s: %d comparisons", name, compared)
		}
		if err == nil || !strings.Contains(err.Error(), putIntoSubfolders) {
			t.Errorf("%s: %d releases after %d comparisons, %v", name, len(releases), compared, err)
		}
	}
}

func TestAnIndexThatNoAgentTakesIsNotWritten(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 120)+"/", 4)
	var index repository.Index
	for i := range repository.MaxPackages {
		index.Releases = append(index.Releases, repository.Release{Version: "24.1.0", Packages: []repository.Package{{
			Kind: repository.Driver, Chip: a2, Arch: "aarch64", Version: "24.1.0", File: fmt.Sprintf("%s%d.run", long, i), Size: 3, SHA256: strings.Repeat("0", 64),
		}}})
	}
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	before := put(t, dir, repository.IndexFile, []byte(`{"releases":[]}`))
	if err := repository.WriteIndex(dir, raw); err == nil || !strings.Contains(err.Error(), "make several repositories of the folder") {
		t.Errorf("an index of %d bytes: %v", len(raw), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || string(get(t, before)) != `{"releases":[]}` {
		t.Errorf("the folder has %v, %v; the index %.40s", left, err, get(t, filepath.Join(dir, repository.IndexFile)))
	}
}
