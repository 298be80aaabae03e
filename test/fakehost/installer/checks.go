package installer

import (
	"os"
	"slices"
	"strings"

	"devserver-agent/test/fakehost"
)

// verdict is how a check ended.
type verdict int

const (
	pass verdict = iota
	refused
	stopped // the user said no: nothing is done, and that is a success
)

// passed runs checks until one does not pass.
func passed(checks ...func() verdict) verdict {
	for _, check := range checks {
		if v := check(); v != pass {
			return v
		}
	}
	return pass
}

func (v verdict) status() int {
	if v == stopped {
		return done
	}
	return failed
}

func (r *run) checkArch() verdict {
	if r.pkg.arch != r.state.Arch {
		r.fail("Arch mismatch, src package is " + r.pkg.arch + ", cur os is " + r.state.Arch)
		return refused
	}
	return pass
}

func (r *run) checkChip() verdict {
	if r.pkg.chip != r.state.Profile().Chip {
		r.fail("The current installation package and environment is not match, please check.")
		return refused
	}
	return pass
}

func (r *run) checkAlone() verdict {
	if !r.alone() {
		return refused
	}
	return pass
}

// checkOwner wants the user and the group to exist and to belong together.
func (r *run) checkOwner() verdict {
	user, group := r.options.owner()
	entry := lookup(r.host.Path("/etc/passwd"), user)
	members := lookup(r.host.Path("/etc/group"), group)
	switch {
	case entry == nil || members == nil:
		r.refuse("0x0091", user+" not exists! Please add "+user)
		return refused
	case len(entry) > 3 && len(members) > 2 && entry[3] == members[2]:
	case len(members) > 3 && slices.Contains(strings.Split(members[3], ","), user):
	default:
		r.refuse("0x0096", "User "+user+" is not in the group "+group)
		return refused
	}
	if r.pkg.kind == fakehost.Driver {
		r.info("set username and usergroup, " + user + ":" + group)
	}
	return pass
}

// lookup finds the line of a name in a file like /etc/passwd, split at its colons.
func lookup(path, name string) []string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); fields[0] == name {
			return fields
		}
	}
	return nil
}

func (r *run) checkSpace() verdict {
	if _, full, err := r.host.Trip(fakehost.DiskFull, r.meant); full || err != nil {
		r.fail("free space only 12M, cannot install " + r.pkg.kind + " package")
		return refused
	}
	return pass
}

// checkRelation compares the other kind's installed version with the declared ranges.
func (r *run) checkRelation() verdict {
	if _, stops, _ := r.host.Trip(fakehost.InstallStops, r.meant); stops {
		r.info("installation Stoped!")
		return stopped
	}
	installed, other := r.state.Installed.Firmware, fakehost.Firmware
	if r.pkg.kind == fakehost.Firmware {
		installed, other = r.state.Installed.Driver, fakehost.Driver
	}
	if installed == "" || fakehost.InRanges(installed, r.pkg.requires) {
		r.info("driver and firmware version relationship check success")
		return pass
	}
	r.warning("driver and firmware version relationship check fail")
	if r.options.quiet || r.confirm(r.pkg.kind+" required "+other+" version not match ,do you want to continue?") {
		return pass
	}
	r.info("installation Stoped!")
	return stopped
}

// checkIdle refuses while containers or processes hold the nodes, unless --force.
func (r *run) checkIdle() verdict {
	if r.options.force || !r.state.Loaded() || len(r.state.Processes()) == 0 {
		return pass
	}
	r.fail("The davinci nodes are occupied by some processes, please stop processes and install or uninstall again, details in : /var/log/ascend_seclog/ascend_install.log")
	r.info("If you want to install or uninstall the driver forcibly, add the force parameter. For details, see [--help].")
	return refused
}

// checkPlace refuses firmware anywhere but on the machine itself (the guides say so; the
// sentence is in no public text).
func (r *run) checkPlace() verdict {
	if r.state.Place != fakehost.Metal {
		r.fail("The firmware package cannot be installed on a VM or container.")
		return refused
	}
	return pass
}

// checkDriver wants a driver that answers: the firmware goes through its upgrade-tool.
func (r *run) checkDriver() verdict {
	if !r.state.Usable() || r.state.Installed.Driver == "" {
		r.fail("The driver is not running, the firmware cannot be installed. Please install the driver or restart first.")
		return refused
	}
	return pass
}
