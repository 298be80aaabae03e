package installer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"devserver-agent/test/fakehost"
)

// content is what the unpacked archive says about itself.
type content struct {
	kind, chip, arch, version, requires string
}

// installer is the name under which the journal has this package's runs.
func (c content) installer() string {
	if c.kind == fakehost.Firmware {
		return fakehost.FirmwareInstaller
	}
	return fakehost.DriverInstaller
}

// readContent reads scene.info and version.info of an unpacked package.
func readContent(dir string) (content, error) {
	scene, err := readKeys(filepath.Join(dir, "scene.info"))
	if err != nil {
		return content{}, err
	}
	info, err := readKeys(filepath.Join(dir, "version.info"))
	if err != nil {
		return content{}, err
	}
	c := content{kind: scene["kind"], chip: scene["chip"], arch: scene["arch"], version: info["Version"]}
	switch c.kind {
	case fakehost.Driver:
		c.requires = info["compatible_version_fw"]
	case fakehost.Firmware:
		c.requires = info["compatible_version_drv"]
	default:
		return content{}, fmt.Errorf("scene.info names no kind of package: %q", c.kind)
	}
	return c, nil
}

func readKeys(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			keys[key] = value
		}
	}
	return keys, nil
}
