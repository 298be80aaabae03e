package hdk

import (
	"context"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"devserver-agent/executors"
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
)

// filesHost has files and no tools.
type filesHost struct{ files fs.FS }

func (h filesHost) Files() fs.FS { return h.files }

func (h filesHost) Query(context.Context, ...string) (executors.Reply, error) {
	return executors.Reply{}, executors.ErrNotFound
}

// TestRangesAreThoseOfWhatWillBeInstalled is about what is said of the ranges of a driver
// and a firmware, each of which is in the plan, on the host already, or nowhere.
func TestRangesAreThoseOfWhatWillBeInstalled(t *testing.T) {
	const driver, firmware = "24.1.0", "7.5.0.1.129"
	found := func(kind repository.Kind, version ascend.Version, requires string) install {
		return install{Package: repository.Package{Kind: kind, Version: version, Requires: requires}}
	}
	info := func(version, key, requires string) *fstest.MapFile {
		text := "Version=" + version + "\n"
		if requires != "" {
			text += key + "=" + requires + "\n"
		}
		return &fstest.MapFile{Data: []byte(text)}
	}
	const inDriver, inFirmware = "usr/local/Ascend/driver/version.info", "usr/local/Ascend/firmware/version.info"
	for name, c := range map[string]struct {
		installs []install
		files    fstest.MapFS
		says     []string
	}{
		"both are found": {[]install{found(repository.Driver, driver, "[7.0.0,7.9.9]"), found(repository.Firmware, firmware, "[23.0.0,25.9.9]")}, nil, nil},
		"the driver declares nothing": {[]install{found(repository.Driver, driver, ""), found(repository.Firmware, firmware, "[23.0.0,25.9.9]")}, nil,
			[]string{"driver 24.1.0 declares no ranges"}},
		"no package was found": {nil, fstest.MapFS{},
			[]string{"the ranges of driver 24.1.0 are not known: no package of it was found", "the ranges of firmware 7.5.0.1.129 are not known: no package of it was found"}},
		"no package was found, another version is installed": {[]install{found(repository.Firmware, firmware, "[23.0.0,25.9.9]")}, fstest.MapFS{inDriver: info("23.0.3", "compatible_version_fw", "[6.0.0,6.9.9]")},
			[]string{"the ranges of driver 24.1.0 are not known: no package of it was found"}},
		"the firmware is installed, and declares": {[]install{found(repository.Driver, driver, "[7.0.0,7.9.9]")}, fstest.MapFS{inFirmware: info(firmware, "compatible_version_drv", "[23.0.0,23.9.9]")},
			[]string{"firmware 7.5.0.1.129 goes with driver [23.0.0,23.9.9] only, and 24.1.0 is planned"}},
		"the firmware is installed, and declares nothing": {[]install{found(repository.Driver, driver, "[7.0.0,7.9.9]")}, fstest.MapFS{inFirmware: info(firmware, "", "")},
			[]string{"firmware 7.5.0.1.129 declares no ranges"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.files == nil {
				c.files = fstest.MapFS{}
			}
			var said []string
			for _, f := range ranges(plan{Target: release{driver, firmware}, Installs: c.installs}, ascend.NewNode(filesHost{c.files})) {
				said = append(said, f.What)
			}
			if strings.Join(said, "|") != strings.Join(c.says, "|") {
				t.Errorf("said %q, want %q", said, c.says)
			}
		})
	}
}
