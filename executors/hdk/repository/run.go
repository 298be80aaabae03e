package repository

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/lazyregexp"
)

// inspectRun reads a .run: a makeself archive, which is a shell script followed by a
// packed tar.
func inspectRun(file io.ReaderAt, size int64, b *budget) (found findings, err error) {
	head := make([]byte, min(size, maxHeader))
	if _, err := file.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return found, fmt.Errorf("read: %w", err)
	}
	if line, _, _ := bytes.Cut(head, []byte("\n")); bytes.HasSuffix(line, []byte("\r")) {
		return found, damaged("its lines end as on Windows, so something converted it")
	}
	if !bytes.HasPrefix(head, []byte("#!")) {
		return found, damaged("it does not begin with #! as a .run does")
	}
	m, err := readMakeself(head, size)
	if err != nil {
		return found, err
	}
	found.fromLabel(m.label)
	var files contents
	for _, p := range m.parts {
		checked, err := p.verify(file)
		if err != nil {
			return found, err
		}
		enough := func(c contents) bool { return checked && c.enough(found.Kind) }
		err = files.read(io.NewSectionReader(file, p.offset, p.size), b, enough)
		if errors.Is(err, errPacking) {
			err = fmt.Errorf("%w: it %w", ErrNoVersionInfo, err)
		}
		if err != nil {
			return found, err
		}
	}
	return found, found.fromFiles(files)
}

// What a package's label says: ASCEND DRIVER RUN PACKAGE,
// ASCEND-HDK-910B-NPU FIRMWARE RUN PACKAGE.
var (
	labelKind = lazyregexp.New(`(?i)\b(driver|firmware)\b`)
	labelChip = lazyregexp.New(`(?i)\b(?:ASCEND-HDK-([a-z0-9_]+)-NPU|ATLAS-(A[0-9])-HDK-NPU)\b`)
)

func (f *findings) fromLabel(label string) {
	if match := labelKind.FindStringSubmatch(label); match != nil {
		f.Kind = Kind(strings.ToLower(match[1]))
	}
	if match := labelChip.FindStringSubmatch(label); match != nil {
		f.addChip(chipNamed(match[1] + match[2]))
	}
}

// addChip notes a chip that is known.
func (f *findings) addChip(chip ascend.Chip) {
	if knownChip(chip) && !slices.Contains(f.chips, chip) {
		f.chips = append(f.chips, chip)
	}
}

func knownChip(chip ascend.Chip) bool {
	switch chip {
	case ascend.Chip310, ascend.Chip310B, ascend.Chip310P, ascend.Chip910, ascend.Chip910B, ascend.Chip910_93, ascend.Chip950:
		return true
	}
	return false
}

// The ids of the devices that a driver is for, "0x19e5:0xd802|0x19e5:0xd803": the
// installer compares them with the host's (checkDriverProduct in the vendor's
// args_parse.sh).
var (
	deviceIDs = lazyregexp.New(`(?m)^[ \t]*(?:export[ \t]+)?device_bdf=["']?([^"'\n#;]+)`)
	deviceID  = lazyregexp.New(`(?i)(?:0x)?19e5:(?:0x)?([0-9a-f]{4})\b`)
)

// fromFiles adds what the files in the archive say.
func (f *findings) fromFiles(files contents) error {
	if match := deviceIDs.FindStringSubmatch(string(files.text("specific_func.inc"))); match != nil {
		label := f.chips
		f.chips = nil
		for _, id := range deviceID.FindAllStringSubmatch(match[1], 32) {
			if number, err := strconv.ParseUint(id[1], 16, 16); err == nil {
				f.addChip(ascend.ChipOf(uint16(number)))
			}
		}
		if len(label) > 0 && len(f.chips) > 0 && !slices.Contains(f.chips, label[0]) {
			return fmt.Errorf("its label says chip %s, its device ids chip %s; take the package from where Huawei gives it", label[0], chipNames(f.chips))
		}
		if len(f.chips) == 0 {
			f.chips = label
		}
	}
	f.scene = sceneArch(files.text("scene.info"))
	text := files.text("version.info")
	if text == nil {
		return ErrNoVersionInfo
	}
	info, err := ascend.ParseVersionInfo(text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoVersionInfo, err)
	}
	f.Version = info.Version
	forDriver, forFirmware := info.Values["compatible_version_fw"], info.Values["compatible_version_drv"]
	if f.Kind == "" && (info.Values["firmware_version"] != "" || forFirmware != "") {
		f.Kind = Firmware
	}
	if f.Kind == "" && (info.Values["ascendhal_version"] != "" || forDriver != "") {
		f.Kind = Driver
	}
	f.Requires = forDriver
	if f.Kind == Firmware {
		f.Requires = forFirmware
	}
	return nil
}

var sceneLine = lazyregexp.New(`(?m)^arch=([^\n]+)`)

// sceneArch is what a scene.info names as the architecture.
func sceneArch(text []byte) string {
	match := sceneLine.FindStringSubmatch(string(text))
	if match == nil {
		return ""
	}
	return strings.TrimSpace(match[1])
}

// chipNames lists chips for a message.
func chipNames(chips []ascend.Chip) string {
	names := make([]string, len(chips))
	for i, chip := range chips {
		names[i] = string(chip)
	}
	return strings.Join(names, " or ")
}
