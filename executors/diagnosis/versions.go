package diagnosis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
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

// named is a version in a sentence; npu-smi does not report each to everybody.
func named(v ascend.Version) ascend.Version { return cmp.Or(v, "unknown") }

func (versions) run(_ context.Context, p *probe) (string, []Finding) {
	var g grouped
	common, known := p.inventory.Running()
	for _, card := range p.cards() {
		b := card.Board
		switch {
		case card.Err != nil:
			g.add(card.ID, unanswered(card.Err))
			continue
		case card.Runs() != common:
			g.add(card.ID, Finding{Fail, fmt.Sprintf("runs driver %s and firmware %s, most run %s and %s", named(b.Driver()), named(b.Firmware()), named(common.Driver), named(common.Firmware)), alignCards})
		}
		if b.Compatibility() == ascend.CompatibilityNOK {
			g.add(card.ID, Finding{Fail, "the driver judges that driver and firmware do not suit each other (Compatibility NOK)", alignCards})
		}
	}
	found := append(g.findings(), p.noCards()...)
	driver, firmware := p.inventory.Driver, p.inventory.Firmware
	if known {
		found = append(found, inactive("driver", driver, common.Driver)...)
		found = append(found, inactive("firmware", firmware, common.Firmware)...)
		found = append(found, outside("driver", driver, driver.Firmwares, "firmware", common.Firmware)...)
		found = append(found, outside("firmware", firmware, firmware.Drivers, "driver", common.Driver)...)
	}
	return count(len(p.cards()), "card") + " and what is installed", found
}

func inactive(kind string, installed ascend.Installed, running ascend.Version) []Finding {
	if installed.Err != nil || running == "" || installed.Version == running {
		return nil // the installation check reports what cannot be read
	}
	return []Finding{{Warn, fmt.Sprintf("%s %s is installed and %s runs", kind, installed.Version, running), restartToUse}}
}

// outside reports a version that the other's package does not declare itself
// compatible with.
func outside(kind string, own ascend.Installed, declared func() ([]ascend.Range, error), other string, running ascend.Version) []Finding {
	if own.Err != nil || running == "" {
		return nil
	}
	ranges, err := declared()
	switch {
	case err != nil:
		return []Finding{{Warn, fmt.Sprintf("the ranges that %s %s declares cannot be read: %v", kind, own.Version, err), "Compare its version.info with the package's; if it is damaged: " + installAgain}}
	case len(ranges) == 0 || slices.ContainsFunc(ranges, func(r ascend.Range) bool { return r.Contains(running) }):
		return nil
	}
	return []Finding{{Warn, fmt.Sprintf("%s %s requires a %s of %v, and %s runs", kind, own.Version, other, ranges, running), alignCards}}
}

// installation finds installations that did not come to their end.
type installation struct{}

const installAgain = "Install the HDK again (HDK_UPGRADE with force=true)."

func (installation) run(_ context.Context, p *probe) (string, []Finding) {
	var found []Finding
	for _, part := range []struct {
		kind string
		err  error
	}{{"driver", p.inventory.Driver.Err}, {"firmware", p.inventory.Firmware.Err}} {
		switch {
		case part.err == nil:
		case errors.Is(part.err, fs.ErrNotExist) && part.kind == "firmware" && ascend.Virtual(p.host.Files()):
			// A virtual machine has no firmware: its hypervisor's host installs it.
		case errors.Is(part.err, fs.ErrNotExist):
			found = append(found, Finding{Fail, "the " + part.kind + "'s version.info is missing: its installation did not come to its end", installAgain})
		default:
			found = append(found, Finding{Fail, part.err.Error(), installAgain})
		}
	}
	switch err := p.inventory.InstallErr; {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		found = append(found, Finding{Warn, err.Error(), "Read the file by hand; if it is damaged: " + installAgain})
	case p.inventory.Unfinished() != "":
		found = append(found, Finding{Fail, p.inventory.Unfinished(), installAgain})
	}
	if p.inventory.Driver.Err == nil && !exists(p.host.Files(), path.Join(p.inventory.Install.DriverPath()[1:], "driver/tools/upgrade-tool")) {
		found = append(found, Finding{Warn, "the driver's upgrade-tool is missing: its installation is not whole", installAgain})
	}
	return "version.info of driver and firmware, ascend_install.info", found
}

func exists(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return err == nil
}
