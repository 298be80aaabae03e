package ascend

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Device is an Ascend chip on the PCI bus, with or without a driver. Chips of
// an SoC are not on it.
type Device struct {
	Address string `json:"address"` // such as 0000:c1:00.0
	ID      uint16 `json:"id"`
	Chip    Chip   `json:"chip"` // "" for a family that is not known yet
}

const (
	pciDevices       = "sys/bus/pci/devices"
	classAccelerator = 0x1200 // PCI class "processing accelerator"
)

// Devices lists the Ascend chips on the host's PCI bus; see the function.
func (n Node) Devices() ([]Device, error) { return Devices(n.host.Files()) }

// Devices lists the Ascend chips on the PCI bus as sysfs shows it, in order of
// their addresses: Huawei's devices of a known family, and its accelerators of
// others. Huawei's network and management devices are left out. A host without
// a PCI bus has none.
func Devices(files fs.FS) ([]Device, error) {
	entries, err := fs.ReadDir(files, pciDevices)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list /%s: %w", pciDevices, reason(err))
	}
	var devices []Device
	for _, entry := range entries {
		dir := path.Join(pciDevices, entry.Name())
		vendor, err := readID(files, path.Join(dir, "vendor"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was unplugged while we looked
		}
		if err != nil {
			return nil, err
		}
		if vendor != VendorHuawei {
			continue
		}
		device, err := readID(files, path.Join(dir, "device"))
		if err != nil {
			return nil, err
		}
		d := Device{Address: strings.ToLower(entry.Name()), ID: device, Chip: ChipOf(device)}
		if d.Chip == "" && !accelerator(files, dir) {
			continue
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// accelerator reports whether a device is of the class that NPUs are of. One
// whose class cannot be read is not counted.
func accelerator(files fs.FS, dir string) bool {
	data, err := readFile(files, path.Join(dir, "class"))
	if err != nil {
		return false
	}
	class, err := strconv.ParseUint(strings.TrimSpace(string(data)), 0, 24)
	return err == nil && class>>8 == classAccelerator
}

func readID(files fs.FS, name string) (uint16, error) {
	data, err := readFile(files, name)
	if err != nil {
		return 0, err
	}
	id, err := parseID(string(data))
	if err != nil {
		return 0, fmt.Errorf("read /%s: %w", name, err)
	}
	return id, nil
}

// parseID reads a PCI id such as 0x19e5, in either case.
func parseID(text string) (uint16, error) {
	digits := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "0x")
	id, err := strconv.ParseUint(digits, 16, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a PCI id", clip(strings.TrimSpace(text), maxSaid))
	}
	return uint16(id), nil
}
