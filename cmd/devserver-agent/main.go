// Command devserver-agent is the daemon on a DevServer host, and what an
// operator runs there.
package main

import (
	"os"

	"devserver-agent/agent/config"
	"devserver-agent/cmd/devserver-agent/command"
	"devserver-agent/executors"
	"devserver-agent/executors/builtin"
)

// registry holds the executors of an agent with this configuration.
func registry(c config.Config) executors.Registry {
	return builtin.All(builtin.Options{Repository: c.HDK.Repository, StateDir: c.StateDir})
}

// version is set when a release is built (-ldflags "-X main.version=...").
var version = "dev"

func main() {
	os.Exit(command.Main(command.Options{
		Version:  version,
		Registry: registry,
		Args:     os.Args[1:],
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
	}))
}
