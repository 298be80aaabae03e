// Command agent is devserver-agent with the trial executors added, for the tests
// of package e2e. It is also the program that these executors start, and it can
// arm a fail point for one process only.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"devserver-agent/agent"
	"devserver-agent/agent/config"
	"devserver-agent/cmd/devserver-agent/command"
	"devserver-agent/executors"
	"devserver-agent/test/trial"
)

// How long the agent waits for tools and for the broker, such as 2s.
const (
	toolTimeout   = "E2E_TOOL_TIMEOUT"
	brokerTimeout = "E2E_BROKER_TIMEOUT"
)

// fuses is a folder. The next process of a verb (run, step) is armed with the
// fail point that the file of that name holds, and takes the file away so that
// no other one is. A file step.NAME is for the next process of the step of that name.
const fuses = "E2E_FUSES"

func main() {
	if len(os.Args) > 1 && os.Args[1] == trial.Arg {
		os.Exit(trial.Program(os.Args[2:]))
	}
	tool, err := duration(toolTimeout)
	broker, err2 := duration(brokerTimeout)
	if err := errors.Join(err, err2, arm()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(command.Main(command.Options{
		Version:  "e2e",
		Registry: registry,
		Timeouts: agent.Timeouts{Query: tool, Answer: broker, Broker: broker},
		Args:     os.Args[1:],
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
	}))
}

func registry(c config.Config) executors.Registry {
	own := command.Executors(c)
	all := map[string]executors.Executor{}
	for _, t := range own.Types() {
		all[t.Type], _, _ = own.Lookup(t.Type)
	}
	return trial.Registry(all)
}

// duration is what an environment variable says, 0 if it is not set.
func duration(variable string) (time.Duration, error) {
	text := os.Getenv(variable)
	if text == "" {
		return 0, nil
	}
	return time.ParseDuration(text)
}

// arm starts this process anew with its fail point, which is read before main
// runs.
func arm() error {
	dir := os.Getenv(fuses)
	if dir == "" || len(os.Args) < 2 {
		return nil
	}
	fuse := filepath.Join(dir, os.Args[1])
	point, err := os.ReadFile(fuse)
	if err != nil && len(os.Args) > 2 {
		_, step, _ := strings.Cut(filepath.Base(os.Args[2]), "-") // of 01-install-firmware
		fuse += "." + step
		point, err = os.ReadFile(fuse)
	}
	if err != nil || os.Remove(fuse) != nil {
		return nil //nolint:nilerr // without its fuse there is nothing to arm
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Setenv("DEVSERVER_AGENT_FAILPOINT", string(point))
	}
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, os.Environ())
}
