package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"devserver-agent/test/fakehost"
	"devserver-agent/test/fakehost/installer"
	"devserver-agent/test/fakehost/tool"
)

const help = `usage: fakehost COMMAND
  create --dir D --model M [--server-id S] [--driver V] [--firmware V] [--arch A] [--bare] [--hot-reset] [--pace 200ms]
         [--place metal|vm|container] [--sparse]
  boot --dir D [--restart=false] [--grace 0s] [--delay 0s] [--until-eof] -- CMD ARGS...   the host's init
  reboot|poweroff|poweron|power-cut --dir D
  show --dir D                      the state as JSON
  events --dir D                    the journal, one JSON object a line
  fault set|clear --dir D NAME [key=value...]
  faults                            the faults there are
  packages --out DIR [--model M] [--arch A] [--pad BYTES]   HDK packages of all releases of the model
`

// errUsage is a wrong command line.
var errUsage = errors.New(help) //nolint:staticcheck // ST1005: the help ends with a newline

// run does one command and returns the exit status.
func run(args []string) (int, error) {
	if len(args) == 0 {
		return 2, errUsage
	}
	switch args[0] {
	case "tool":
		return runTool(args[1:])
	case "script":
		return runScript(args[1:])
	}
	commands := map[string]func([]string) error{
		"create": create, "show": show, "events": events, "fault": fault, "faults": faults, "packages": packages,
		"boot": boot, "reboot": power((*fakehost.Host).Reboot), "poweroff": power((*fakehost.Host).PowerOff),
		"poweron": power((*fakehost.Host).PowerOn), "power-cut": power((*fakehost.Host).PowerCut),
	}
	command, known := commands[args[0]]
	if !known {
		return 2, errUsage
	}
	if err := command(args[1:]); err != nil {
		return 1, fmt.Errorf("fakehost %s: %w", args[0], err)
	}
	return 0, nil
}

// runScript is the interpreter of the scripts on a host: FILE ARGS. The file's second line
// has the words that come before ARGS.
func runScript(args []string) (int, error) {
	if len(args) == 0 {
		return 127, errors.New("usage: fakehost script FILE ARGS")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return 127, err
	}
	lines := strings.SplitN(string(text), "\n", 3)
	if len(lines) < 3 || strings.HasPrefix(lines[1], "script") {
		return 127, fmt.Errorf("%s is no script of a fake host", args[0])
	}
	return run(append(strings.Fields(lines[1]), args[1:]...))
}

// runTool plays a tool: NAME --host DIR -- ARGS.
func runTool(args []string) (int, error) {
	if len(args) < 4 || args[1] != "--host" || args[3] != "--" {
		return 127, errors.New("usage: fakehost tool NAME --host DIR -- ARGS")
	}
	h, err := fakehost.Open(args[2])
	if err != nil {
		return 127, err
	}
	name, rest := args[0], args[4:]
	switch kind, uninstall := strings.CutPrefix(name, "uninstall-"); {
	case uninstall:
		return installer.Uninstall(h, kind, rest, os.Stdin, os.Stdout), nil
	case name == "installer":
		return installer.Run(h, rest, os.Stdin, os.Stdout), nil
	}
	return tool.Run(h, name, rest, os.Stdout), nil
}

// parse reads flags and --dir and opens the host; what is left over is returned.
func parse(name string, args []string, more func(*flag.FlagSet)) (*fakehost.Host, []string, error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	dir := flags.String("dir", "", "the host's folder")
	if more != nil {
		more(flags)
	}
	if err := flags.Parse(args); err != nil {
		return nil, nil, err
	}
	h, err := fakehost.Open(*dir)
	return h, flags.Args(), err
}

func create(args []string) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("create", flag.ContinueOnError)
	dir := flags.String("dir", "", "the folder to create")
	model := flags.String("model", string(fakehost.A2), fmt.Sprint("one of ", fakehost.Models()))
	o := fakehost.Options{Binary: binary}
	place := flags.String("place", "metal", "where the operating system runs: metal, vm or container")
	flags.StringVar(&o.ServerID, "server-id", "", "the server's id")
	flags.StringVar(&o.Release.Driver, "driver", "", "installed and running driver")
	flags.StringVar(&o.Release.Firmware, "firmware", "", "installed and running firmware")
	flags.StringVar(&o.Arch, "arch", "", "uname -m of the host")
	flags.BoolVar(&o.Bare, "bare", false, "no driver was ever installed")
	flags.BoolVar(&o.Sparse, "sparse", false, "cards have odd ids, with a gap before each")
	flags.BoolVar(&o.HotReset, "hot-reset", false, "driver upgrades take effect at once")
	flags.DurationVar(&o.Pace, "pace", 200*time.Millisecond, "how long an installation takes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is missing")
	}
	if o.Place, err = fakehost.ParsePlace(*place); err != nil {
		return err
	}
	_, err = fakehost.New(*dir, fakehost.Model(*model), o)
	return err
}

func show(args []string) error {
	h, _, err := parse("show", args, func(f *flag.FlagSet) { f.Bool("json", true, "the only form there is") })
	if err != nil {
		return err
	}
	s, err := h.State()
	if err != nil {
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

func events(args []string) error {
	h, _, err := parse("events", args, func(f *flag.FlagSet) { f.Bool("json", true, "the only form there is") })
	if err != nil {
		return err
	}
	all, err := h.Events()
	e := json.NewEncoder(os.Stdout)
	for _, event := range all {
		if err := e.Encode(event); err != nil {
			return err
		}
	}
	return err
}

func fault(args []string) error {
	if len(args) == 0 || !slices.Contains([]string{"set", "clear"}, args[0]) {
		return errors.New("say set or clear")
	}
	h, rest, err := parse("fault", args[1:], nil)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return errors.New("which fault? see: fakehost faults")
	}
	if args[0] == "clear" {
		return h.ClearFault(fakehost.Fault(rest[0]))
	}
	return h.SetFault(fakehost.Fault(rest[0]), rest[1:]...)
}

func faults([]string) error {
	for _, f := range fakehost.Faults() {
		fmt.Printf("%-26s %s %v\n", f.Fault, f.What, f.Args)
	}
	return nil
}

// packages builds the driver and the firmware of every release of a model, each file once.
func packages(args []string) error {
	flags := flag.NewFlagSet("packages", flag.ContinueOnError)
	out := flags.String("out", "", "the folder to write to")
	model := flags.String("model", string(fakehost.A2), fmt.Sprint("one of ", fakehost.Models()))
	arch := flags.String("arch", "", "uname -m of the hosts (this machine's)")
	pad := flags.Int64("pad", 0, "bytes that each package carries besides")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		return errors.New("--out is missing")
	}
	p, err := fakehost.Model(*model).Profile()
	if err != nil {
		return err
	}
	var all []fakehost.Package
	for _, release := range p.Releases {
		pair, err := release.Packages(p.Model)
		if err != nil {
			return err
		}
		for _, one := range pair {
			one.Arch, one.Pad = *arch, *pad
			if !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	built, err := fakehost.BuildPackages(*out, all)
	for _, b := range built {
		fmt.Printf("%s  %d  %s\n", b.SHA256, b.Size, b.Path)
	}
	return err
}
