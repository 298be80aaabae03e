package hdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

// preflight checks everything at once. Only what it names here blocks; force
// makes health, use and ranges warnings.
func (r *run) preflight(ctx context.Context, p plan, node ascend.Node) []finding {
	files := r.host.Files()
	next, how := node.NextKernel(ctx)
	if p.Strategy == strategyRestart { // a job with is_reboot accepts what a restart ends
		return append(kernelWarnings(files, next, how, false), restartWarnings(files)...)
	}
	running := ascend.Holders(files)
	var found []finding
	found = append(found, r.unlessForced(health(p.Before))...)
	if len(r.Hooks.Before) == 0 { // else they may end what uses NPUs
		found = append(found, r.unlessForced(r.use(ctx, p.Before, running))...)
	}
	found = append(found, otherInstallers(running)...)
	if p.Strategy == strategyMCU {
		return found
	}
	found = append(found, r.space(p)...)
	found = append(found, r.temporary(p)...)
	found = append(found, owner(node, files)...)
	found = append(found, r.unlessForced(ranges(p, node))...)
	found = append(found, installWarnings(files)...)
	found = append(found, kernelWarnings(files, next, how, len(p.Installs) > 0)...)
	return append(found, restartWarnings(files)...)
}

// unlessForced turns what blocks into warnings when force is asked for.
func (r *run) unlessForced(found []finding) []finding {
	if !r.order.force {
		return found
	}
	for i, f := range found {
		if f.Blocks {
			found[i] = warning("%s (force)", f.What)
		}
	}
	return found
}

// health finds cards that are not healthy, or fell off: the bus says how many chips
// there are. A chip that does not answer is not healthy; all of them, because npu-smi
// cannot start, are a warning: a broken driver is a usual reason to upgrade. An MCU
// does not stop an upgrade.
func health(now inventory) []finding {
	if now.Down != "" && !now.InUse {
		return []finding{warning("the cards' health is not known: %s", strings.TrimSuffix(now.Down+"."+now.hint(), "."))}
	}
	var found []finding
	var ill, hung, controllers ascend.GroupedCards
	for _, c := range now.Cards {
		switch {
		case c.Hung:
			hung.Add(c.ID, c.condition())
		case !c.healthy():
			ill.Add(c.ID, c.condition())
		}
		if c.MCU != "" && c.MCU != ascend.StateOK {
			controllers.Add(c.ID, fmt.Sprintf("its MCU reports %s", c.MCU))
		}
	}
	for _, words := range ill.List() {
		found = append(found, blocking(protocol.HDKCardUnhealthy, "%s", words))
	}
	for _, words := range hung.List() {
		found = append(found, blocking(protocol.ToolTimeout, "%s", words))
	}
	for _, words := range controllers.List() {
		found = append(found, warning("%s", words))
	}
	if listed := now.listed(); listed > 0 && listed < now.Chips && !now.Contained {
		found = append(found, blocking(protocol.HDKCardUnhealthy, "%d chips are on the PCI bus, of which the driver lists %d", now.Chips, listed))
	}
	return found
}

// use finds who holds the NPUs: processes with a davinci node open, containers
// that were given one.
func (r *run) use(ctx context.Context, now inventory, running []ascend.Holder) []finding {
	var found []finding
	if now.InUse {
		found = append(found, blocking(protocol.HDKInUse, "%s", now.Down))
	}
	var holders []string
	for _, p := range running {
		if p.NPU {
			holders = append(holders, p.String())
		}
	}
	containers, err := ascend.NewNode(r.host).Containers(ctx)
	if err != nil {
		found = append(found, warning("containers are not known: %v", err))
	}
	for _, c := range containers {
		named := slices.ContainsFunc(running, func(p ascend.Holder) bool { return p.NPU && p.Container != "" && strings.HasPrefix(c.ID, p.Container) })
		if !named {
			holders = append(holders, c.String())
		}
	}
	if len(holders) > 0 {
		found = append(found, blocking(protocol.HDKInUse, "NPUs are in use by %s", clipList(holders, 10)))
	}
	return found
}

func otherInstallers(running []ascend.Holder) []finding {
	var found []finding
	for _, p := range running {
		if p.Installer != "" {
			found = append(found, blocking(protocol.HDKInstallerRunning, "another installer runs: process %d, %s", p.PID, p.Installer))
		}
	}
	return found
}

const mib = 1 << 20

// unpacked is how many times its size a package needs: the archive is unpacked and its
// content copied beside the former.
const unpacked = 3

// space finds file systems without room for the largest package, those of a rollback
// included, and 256 MiB.
func (r *run) space(p plan) []finding {
	var largest int64
	for _, i := range slices.Concat(p.Installs, p.RollbackPackages) { // these check themselves too
		largest = max(largest, i.Package.Size)
	}
	need := unpacked*largest + 256*mib
	var found []finding
	if dir, err := r.host.Scratch(); err == nil {
		if free, err := r.Free(dir); err == nil && free < need {
			found = append(found, blocking(protocol.HDKDiskSpace, "the agent's state directory has %d MiB free, %d MiB are needed", free/mib, need/mib))
		}
	}
	for _, dir := range []string{"usr/local/Ascend", "usr/local", "usr", "."} {
		free, err := freeIn(r.host.Files(), dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && free < need {
			found = append(found, blocking(protocol.HDKDiskSpace, "/%s has %d MiB free, %d MiB are needed", dir, free/mib, need/mib))
		}
		break
	}
	return found
}

// temporary finds that what is unpacked into the folder for temporary files could not be
// executed there.
func (r *run) temporary(p plan) []finding {
	runs := func(i install) bool { return i.Package.Format() == repository.Run }
	dir, err := r.host.Scratch()
	if err != nil || !slices.ContainsFunc(p.Installs, runs) || !r.NoExec(dir) {
		return nil
	}
	f := blocking(protocol.HDKHostNotReady, "files in the agent's state directory (%s) may not be executed: its file system is mounted with noexec", dir)
	f.Remedy = "Mount it without noexec, or put state_dir of the agent's configuration elsewhere" + againThen
	return []finding{f}
}

// owner finds the installer's user and group missing. Without a word of
// ascend_install.info they are HwHiAiUser.
func owner(node ascend.Node, files fs.FS) []finding {
	user, group := "HwHiAiUser", "HwHiAiUser"
	if info, err := node.InstallInfo(); err == nil && info.User() != "" && info.Group() != "" {
		user, group = info.User(), info.Group()
	}
	var found []finding
	for _, list := range []struct{ what, name, file string }{{"user", user, "etc/passwd"}, {"group", group, "etc/group"}} {
		if !listed(files, list.file, list.name) {
			found = append(found, blocking(protocol.HDKUserMissing, "the installer's %s %s is not in /%s", list.what, list.name, list.file))
		}
	}
	return found
}

func listed(files fs.FS, file, name string) bool {
	raw, err := fs.ReadFile(files, file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		if entry, _, _ := strings.Cut(line, ":"); entry == name {
			return true
		}
	}
	return false
}

// ranges finds driver and firmware outside each other's declared ranges. A kind that is
// not in the plan declares what its installed version does, if that is the target; else
// no package of the target was found and nothing is known of its ranges.
func ranges(p plan, node ascend.Node) []finding {
	if p.Target.Driver == "" || p.Target.Firmware == "" {
		return nil // what is missing is said already
	}
	var found []finding
	for _, side := range []struct {
		kind      repository.Kind
		own       ascend.Version
		otherKind repository.Kind
		other     ascend.Version
		key       string
		installed func() (ascend.VersionInfo, error)
	}{
		{repository.Driver, p.Target.Driver, repository.Firmware, p.Target.Firmware, "compatible_version_fw", node.InstalledDriver},
		{repository.Firmware, p.Target.Firmware, repository.Driver, p.Target.Driver, "compatible_version_drv", node.InstalledFirmware},
	} {
		declares := repository.Package{Kind: side.kind, Version: side.own}
		at := slices.IndexFunc(p.Installs, func(i install) bool { return i.Package.Kind == side.kind })
		if at >= 0 {
			declares = p.Installs[at].Package
		} else if info, err := side.installed(); err == nil && info.Version == side.own {
			declares.Requires = info.Values[side.key]
		} else {
			found = append(found, warning("the ranges of %s %s are not known: no package of it was found", side.kind, side.own))
			continue
		}
		switch declares.Admits(side.other) {
		case repository.Silent:
			found = append(found, warning("%s %s declares no ranges", side.kind, side.own))
		case repository.No:
			found = append(found, blocking(protocol.HDKVersionMismatch, "%s %s goes with %s %s only, and %s is planned", side.kind, side.own, side.otherKind, declares.Requires, side.other))
		}
	}
	return found
}
