// Command gen makes the files of a package that follow from the program in it:
// manual pages, completions of the shells, the sample configuration, and the
// licences of everything that is linked.
//
//	gen PROGRAM DIR VERSION DATE <packages
//
// PROGRAM is devserver-agent, devserver-controlplane or devserverctl, DATE its
// seconds since 1970. Standard input names the packages in the program, a line of
// "MODULE VERSION ROOT FOLDER" each: the module's folder and the package's. The same
// input gives the same bytes.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	agent "devserver-agent/cmd/devserver-agent/command"
	controlplane "devserver-agent/cmd/devserver-controlplane/command"
	ctl "devserver-agent/cmd/devserverctl/command"
)

// program is what is packaged: its commands and the section of its manual.
type program struct {
	root    *cobra.Command
	section string
	manual  string
}

func programs() map[string]program {
	plain := func(string) string { return "" } // the environment of whoever builds is nobody's default
	return map[string]program{
		"devserver-agent":        {agent.New(), "8", "System administration"},
		"devserver-controlplane": {controlplane.New(), "8", "System administration"},
		"devserverctl":           {ctl.New(plain), "1", "User commands"},
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: gen PROGRAM DIR VERSION DATE <packages")
	}
	name, dir, version := args[0], args[1], args[2]
	p, known := programs()[name]
	if !known {
		return fmt.Errorf("%q is no program of this project", name)
	}
	seconds, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return fmt.Errorf("the date: %w", err)
	}
	date := time.Unix(seconds, 0).UTC()
	p.root.DisableAutoGenTag = true
	if err := errors.Join(
		manual(p, dir, version, date),
		completions(p.root, dir),
		licences(dir, os.Stdin),
		changelog(name, dir, version, date),
	); err != nil {
		return err
	}
	if name == "devserver-agent" {
		return sample(dir, version, date)
	}
	return nil
}
