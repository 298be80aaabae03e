package hdk

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// plan is everything that decides what an upgrade does. It is made once.
type plan struct {
	Target   release     `json:"target"`
	Former   release     `json:"former"`
	Chip     ascend.Chip `json:"chip,omitempty"`
	Arch     string      `json:"arch"`
	Before   inventory   `json:"before"`
	Strategy strategy    `json:"course"`
	Installs []install   `json:"installs,omitempty"` // in this order
	// RollbackPackages are the packages of the former versions, for a rollback.
	RollbackPackages []install   `json:"returns,omitempty"`
	MCU              controllers `json:"mcu,omitzero"` // no version: nothing was asked for
	Findings         []finding   `json:"findings,omitempty"`
	// Checks says that the archives check themselves before the first is installed. An
	// agent that did not have that may have recorded the plan, and gone on from it.
	Checks bool `json:"checks,omitempty"`
}

// strategy is how an upgrade goes.
type strategy string

const (
	strategyNone    strategy = "none"    // the target is installed and runs
	strategyRestart strategy = "restart" // it is installed and does not run yet
	strategyMCU     strategy = "mcu"     // it is installed and runs, and MCUs do not
	strategyUpgrade strategy = "upgrade" // firmware, then driver
	strategyFirst   strategy = "first"   // nothing is installed: driver, then firmware
	strategyRepair  strategy = "revive"  // the driver is down: driver, restart, firmware
)

// install is one installer that is to run.
type install struct {
	Package repository.Package `json:"package"`
	Options []string           `json:"options"`
	// Former is what version.info names before, "" for nothing; nil is not known, of a plan
	// that an older agent made.
	Former *ascend.Version `json:"former,omitempty"`
}

func (i install) String() string {
	return fmt.Sprintf("%s %s", i.Package.Kind, i.Package.Version)
}

// argv is the command that installs the package at path. An rpm or deb brings
// the same installer as its scripts, which take no options; that it is there
// already or is older than what is there is no reason to refuse it.
func (i install) argv(path string) []string {
	switch i.Package.Format() {
	case repository.RPM:
		return []string{"rpm", "--upgrade", "--replacepkgs", "--oldpackage", path}
	case repository.Deb:
		return []string{"dpkg", "--install", path}
	}
	return append([]string{path}, i.Options...)
}

// how says in a few words how the package is installed.
func (i install) how() string {
	if i.Package.Format() == repository.Run {
		return strings.Join(i.Options, " ")
	}
	return i.argv("")[0]
}

// makePlan looks, chooses and checks. It writes below the state directory only:
// packages are fetched and verified here, so that a wrong one is found before
// anything is touched.
func (r *run) makePlan(ctx context.Context) (plan, error) {
	r.host.Progress(0, "planning")
	inv, err := r.ask(ctx, true)
	if err != nil {
		return plan{}, err
	}
	before := r.remember(inv)
	p := plan{Before: before, Former: before.former(), Arch: r.Arch, Checks: true}
	node := ascend.NewNode(r.host)
	p.findChip(inv)
	r.findTarget(ctx, &p, node)
	if ctx.Err() != nil {
		return plan{}, context.Cause(ctx)
	}
	if p.Strategy == strategyNone {
		for _, f := range health(p.Before) { // they stop nothing, as nothing is done
			p.warn("%s", f.What)
		}
	} else {
		p.Findings = append(p.Findings, r.preflight(ctx, p, node)...)
	}
	if err := r.fetch(ctx, &p); err != nil {
		return plan{}, err
	}
	for _, f := range p.Findings {
		r.host.Printf("%s\n", f)
	}
	if !p.blocked() {
		r.host.Printf("plan: %s\n", p.summary())
	}
	return p, nil
}

// findChip finds the chip family by PCI device id: from the boards, or else from
// the bus. Printed names tell nothing: a first-generation 910 prints 910B.
func (p *plan) findChip(inv ascend.Inventory) {
	if inv.DevicesErr != nil {
		p.warn("the PCI bus cannot be read, so that a card that fell off is not seen: %v", inv.DevicesErr)
	}
	var chips []ascend.Chip
	for _, c := range inv.Cards {
		if c.Err == nil {
			chips = append(chips, c.Board.Chip())
		}
	}
	for _, d := range inv.Devices {
		chips = append(chips, d.Chip)
	}
	slices.Sort(chips)
	chips = slices.DeleteFunc(slices.Compact(chips), func(c ascend.Chip) bool { return c == "" })
	switch ids := p.Before.IDs; {
	case len(chips) == 0 && ids != "":
		p.block(protocol.HDKChipUnknown, "the chips are of no family that this version of the agent knows: %s", ids)
	case len(chips) == 0:
		p.block(protocol.HDKChipUnknown, "no Ascend chip of a known family is on the PCI bus or given by npu-smi")
	case len(chips) == 1:
		p.Chip = chips[0]
	default:
		p.block(protocol.HDKChipUnknown, "chips of several families are on this host: %v", chips)
	}
}

// findTarget finds the versions to reach, what stands between, and the packages.
func (r *run) findTarget(ctx context.Context, p *plan, node ascend.Node) {
	p.Target = release{r.order.driver, r.order.firmware}
	index, err := r.index(ctx)
	if p.Target.Firmware == "" {
		if err != nil {
			p.lacksIndex(err)
			return
		}
		p.findFirmware(index)
		if p.Target.Firmware == "" {
			return
		}
	}
	r.chooseStrategy(p, node)
	r.findControllers(ctx, p, index, err)
	if len(p.Installs) == 0 {
		return
	}
	if err != nil {
		p.lacksIndex(err)
		p.Installs = nil
		return
	}
	for i := range p.Installs {
		r.choose(p, index, &p.Installs[i].Package)
	}
	p.Installs = slices.DeleteFunc(p.Installs, func(i install) bool { return i.Package.File == "" })
	if r.order.rollback {
		r.findRollbackPackages(p, index)
	}
}

// findFirmware takes the firmware of the release, if there is one only.
func (p *plan) findFirmware(index repository.Index) {
	found, known := index.Of(p.Target.Driver, repository.Firmware, p.Chip, p.Arch)
	var versions []string
	for _, fw := range found {
		if !slices.Contains(versions, string(fw.Version)) {
			versions = append(versions, string(fw.Version))
		}
	}
	switch {
	case p.Chip == "": // said already
	case !known:
		p.block(protocol.HDKPackageNotFound, "the repository has no release %s (it has %s)", p.Target.Driver, releases(index))
	case len(versions) == 0:
		p.block(protocol.HDKPackageNotFound, "release %s has no firmware for %s", p.Target.Driver, p.Chip)
	case len(versions) > 1:
		p.block(protocol.HDKPackageNotFound, "release %s has several firmwares for %s: set firmware_version to one of %s", p.Target.Driver, p.Chip, strings.Join(versions, ", "))
	default:
		p.Target.Firmware = found[0].Version
	}
}
