package diagnosis

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"devserver-agent/executors/ascend"
)

// versions fails when cards run different versions, or versions that do not suit
// each other, and warns when another one is installed than runs.
type versions struct{}

const (
	alignCards   = "Upgrade the HDK of the host (HDK_UPGRADE), which brings all cards to one version."
	restartToUse = "Restart the host when its work allows."
)

func (versions) look(_ context.Context, s *survey) []Finding {
	var t tally
	common, told := s.runs()
	for _, a := range s.boards() {
		b := a.value
		switch {
		case a.err != nil:
			t.add(a.card, unanswered(a.err))
			continue
		case b.Driver() != common.driver || b.Firmware() != common.firmware:
			t.add(a.card, Finding{Fail, fmt.Sprintf("runs driver %s and firmware %s, most run %s and %s", b.Driver(), b.Firmware(), common.driver, common.firmware), alignCards})
		}
		if b.Compatibility() == ascend.CompatibilityNOK {
			t.add(a.card, Finding{Fail, "the driver judges that driver and firmware do not suit each other (Compatibility NOK)", alignCards})
		}
	}
	found := append(t.findings(), s.silent()...)
	driver, driverErr := s.node.InstalledDriver()
	firmware, firmwareErr := s.node.InstalledFirmware()
	if told {
		found = append(found, inactive("driver", driver, driverErr, common.driver)...)
		found = append(found, inactive("firmware", firmware, firmwareErr, common.firmware)...)
		found = append(found, outside("driver", driver.Version, driver.Firmwares, driverErr, "firmware", common.firmware)...)
		found = append(found, outside("firmware", firmware.Version, firmware.Drivers, firmwareErr, "driver", common.driver)...)
	}
	return found
}

// pair is a driver and a firmware that run together.
type pair struct{ driver, firmware ascend.Version }

// runs is what most cards run; told is false when none says.
func (s *survey) runs() (most pair, told bool) {
	count := map[pair]int{}
	for _, a := range s.boards() {
		if a.err != nil {
			continue
		}
		p := pair{a.value.Driver(), a.value.Firmware()}
		count[p]++
		if !told || count[p] > count[most] {
			most, told = p, true
		}
	}
	return most, told
}

func inactive(kind string, info ascend.VersionInfo, err error, running ascend.Version) []Finding {
	if err != nil || running == "" || info.Version == running {
		return nil // the installation check reports what cannot be read
	}
	return []Finding{{Warn, fmt.Sprintf("%s %s is installed and %s runs", kind, info.Version, running), restartToUse}}
}

// outside reports a version that the other's package does not declare itself
// compatible with.
func outside(kind string, own ascend.Version, declared func() ([]ascend.Range, error), unread error, other string, running ascend.Version) []Finding {
	if unread != nil || running == "" {
		return nil
	}
	ranges, err := declared()
	switch {
	case err != nil:
		return []Finding{{Grade: Warn, What: fmt.Sprintf("the ranges that %s %s declares cannot be read: %v", kind, own, err)}}
	case len(ranges) == 0 || slices.ContainsFunc(ranges, func(r ascend.Range) bool { return r.Contains(running) }):
		return nil
	}
	return []Finding{{Warn, fmt.Sprintf("%s %s requires a %s of %v, and %s runs", kind, own, other, ranges, running), alignCards}}
}

// installation finds installations that did not come to their end.
type installation struct{}

const installAgain = "Install the HDK again (HDK_UPGRADE with force=true)."

func (installation) look(_ context.Context, s *survey) []Finding {
	var found []Finding
	_, driverErr := s.node.InstalledDriver()
	_, firmwareErr := s.node.InstalledFirmware()
	for kind, err := range map[string]error{"driver": driverErr, "firmware": firmwareErr} {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			found = append(found, Finding{Fail, "the " + kind + "'s version.info is missing: its installation did not come to its end", installAgain})
		case err != nil:
			found = append(found, Finding{Fail, err.Error(), installAgain})
		}
	}
	switch info, err := s.node.InstallInfo(); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		found = append(found, Finding{Grade: Warn, What: err.Error()})
	default:
		if complete, told := info.DriverComplete(); told && !complete {
			found = append(found, Finding{Fail, "ascend_install.info says that the driver's installation did not come to its end", installAgain})
		}
	}
	if driverErr == nil && !exists(s.host.Files(), "usr/local/Ascend/driver/tools/upgrade-tool") {
		found = append(found, Finding{Warn, "the driver's upgrade-tool is missing: its installation is not whole", installAgain})
	}
	return found
}

func exists(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return err == nil
}
