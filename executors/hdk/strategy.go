package hdk

import (
	"devserver-agent/executors/ascend"
	"devserver-agent/executors/hdk/repository"
)

// chooseStrategy decides the strategy: what is to be installed, in which order, how.
//
// Huawei's guides say it everywhere: first install driver then firmware, upgrade
// firmware then driver. A firmware goes through a driver that runs, so a driver
// that is down comes first too, and a restart between.
func (r *run) chooseStrategy(p *plan, node ascend.Node) {
	now := p.Before
	installed := release{now.Driver, now.Firmware}
	switch {
	case installed == p.Target && now.runs(p.Target):
		p.Strategy = strategyNone
		return
	case installed == p.Target && !(r.order.force && now.Down != ""):
		p.Strategy = strategyRestart
		return
	}
	driver, firmware := r.part(repository.Driver, p, node), r.part(repository.Firmware, p, node)
	switch {
	case now.Down == "" || now.InUse:
		p.Strategy = strategyUpgrade
		p.Installs = append(firmware, driver...)
	case installed == release{}:
		p.Strategy = strategyFirst
		p.Installs = append(driver, firmware...)
	default:
		p.Strategy = strategyRepair
		p.Installs = append(driver, firmware...)
	}
}

// part is the installer of one kind, or nothing where the target is installed. A
// driver that is down is installed again although its version is right.
func (r *run) part(kind repository.Kind, p *plan, node ascend.Node) []install {
	installed, target := p.Before.Driver, p.Target.Driver
	if kind == repository.Firmware {
		installed, target = p.Before.Firmware, p.Target.Firmware
	}
	broken := kind == repository.Driver && p.Before.Down != "" && !p.Before.InUse
	if installed == target && !broken {
		return nil
	}
	i := install{Package: repository.Package{Kind: kind, Version: target}, Former: &installed}
	if installed == "" {
		i.Options = r.options("--full")
		info, err := node.InstallInfo()
		if kind == repository.Driver && err == nil && info.ForAll() && p.Chip != ascend.Chip310B {
			i.Options = append(i.Options, "--install-for-all")
		}
	} else {
		i.Options = r.options("--upgrade")
	}
	return []install{i}
}

func (r *run) options(mode string) []string {
	options := []string{mode, "--quiet"}
	if r.order.force {
		options = append(options, "--force")
	}
	return options
}
