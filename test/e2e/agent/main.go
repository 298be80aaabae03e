// Command agent is devserver-agent with the trial executors added, for the tests
// of package e2e. It is also the program that these executors start, and it can
// arm a fail point for one shim only.
package main

import (
	"fmt"
	"os"
	"syscall"

	"devserver-agent/agent/config"
	"devserver-agent/cmd/devserver-agent/command"
	"devserver-agent/executors"
	"devserver-agent/executors/builtin"
	"devserver-agent/test/trial"
)

// The fail point that the next shim is armed with, and the file that it takes
// away so that no other one is.
const (
	shimPoint = "E2E_SHIM_FAILPOINT"
	shimFuse  = "E2E_SHIM_FUSE"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == trial.Arg {
		os.Exit(trial.Program(os.Args[2:]))
	}
	if err := armShim(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(command.Main(command.Options{
		Version:  "e2e",
		Registry: registry,
		Args:     os.Args[1:],
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
	}))
}

func registry(c config.Config) executors.Registry {
	own := builtin.All(builtin.Options{Repository: c.HDK.Repository, StateDir: c.StateDir})
	all := map[string]executors.Executor{}
	for _, t := range own.Types() {
		all[t.Type], _, _ = own.Lookup(t.Type)
	}
	return trial.Registry(all)
}

// armShim starts a shim anew with a fail point, which is read before main runs.
func armShim() error {
	point := os.Getenv(shimPoint)
	if len(os.Args) < 2 || os.Args[1] != "step" || point == "" || os.Remove(os.Getenv(shimFuse)) != nil {
		return nil //nolint:nilerr // without its fuse there is nothing to arm
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), "DEVSERVER_AGENT_FAILPOINT="+point))
}
