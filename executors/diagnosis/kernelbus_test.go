package diagnosis

import (
	"io/fs"
	"testing"
	"testing/fstest"
)

func TestThePortAboveAnNPUIsInItsPath(t *testing.T) {
	link := func(target string) *fstest.MapFile {
		return &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte(target)}
	}
	files := fstest.MapFS{
		"sys/bus/pci/devices/0000:c1:00.0": link("../../../devices/pci0000:c0/0000:c0:00.0/0000:c1:00.0"),
		"sys/bus/pci/devices/0000:85:00.0": link("../../../devices/pci0000:80/0000:80:03.0/0000:83:00.0/0000:84:02.0/0000:85:00.0"),
		"sys/bus/pci/devices/0000:02:00.0": link("../../../devices/pci0000:02/0000:02:00.0"),
		"sys/bus/pci/devices/0000:03:00.0": {Mode: fs.ModeDir | 0o755},
	}
	for npu, want := range map[string]string{
		"0000:c1:00.0": "0000:c0:00.0",
		"0000:85:00.0": "0000:84:02.0",
		"0000:02:00.0": "", // on a root bus
		"0000:03:00.0": "", // no link
		"0000:04:00.0": "", // not there
	} {
		if port := portAbove(files, npu); port != want {
			t.Errorf("%s: the port above is %q, not %q", npu, port, want)
		}
	}
}
