package installer

import (
	"slices"
	"strings"

	"devserver-agent/test/fakehost"
)

// options are the arguments of the vendor's args_parse.sh.
type options struct {
	mode          string // full, run, devel, docker, debug, upgrade, uninstall, version, check, help
	quiet, force  bool
	installForAll bool
	user, group   string // "" where not given
}

var modes = []string{"--full", "--run", "--devel", "--docker", "--debug", "--upgrade", "--uninstall", "--version", "--check", "--help"}

// parseArgs applies the rules of help.info; problem is the sentence for a violation.
func parseArgs(args []string, chip string) (o options, problem string) {
	var given []string
	values := map[string]*string{"--install-username=": &o.user, "--install-usergroup=": &o.group, "--install-path=": nil, "--repack-path=": nil}
next:
	for _, a := range args {
		for prefix, into := range values {
			if value, ok := strings.CutPrefix(a, prefix); ok {
				if into != nil {
					*into = value
				}
				continue next
			}
		}
		switch {
		case slices.Contains(modes, a):
			given = append(given, a)
		case a == "--quiet":
			o.quiet = true
		case a == "--force":
			o.force = true
		case a == "--install-for-all" && chip != "310b":
			o.installForAll = true
		case a == "--norebuild", a == "--repack", a == "--vnpu_guest", a == "--nox11":
		default:
			return o, "Unrecognized parameters: " + a + ". Try --help for more information."
		}
	}
	if len(given) != 1 {
		return o, "only support one type: full/run/docker/devel/debug/upgrade/uninstall."
	}
	o.mode = strings.TrimPrefix(given[0], "--")
	return o, o.conflict(len(args))
}

// conflict names the first rule that the combination breaks.
func (o options) conflict(count int) string {
	switch {
	case (o.mode == "version" || o.mode == "check") && count > 1:
		return "--" + o.mode + " cannot be used with other parameters."
	case o.mode == "uninstall" && (o.installForAll || o.user+o.group != ""):
		return "--uninstall can only be used with --force."
	case o.installForAll && (o.mode == "docker" || o.mode == "upgrade"):
		return "--install-for-all cannot be used with --" + o.mode + "."
	case (o.user == "") != (o.group == ""):
		return "--install-username and --install-usergroup must be used together."
	case o.user != "" && o.mode == "upgrade":
		return "--install-username cannot be used with --upgrade."
	case o.mode == "debug" && o.quiet:
		return "--debug cannot be used with --quiet."
	}
	return ""
}

// owner is the user and group the driver's files shall belong to.
func (o options) owner() (user, group string) {
	if o.user == "" {
		return "HwHiAiUser", "HwHiAiUser"
	}
	return o.user, o.group
}

func title(kind string) string {
	if kind == fakehost.Driver {
		return "Driver"
	}
	return "Firmware"
}
