// Command devserverctl is an operator's command line for a fleet of DevServers.
package main

import (
	"os"

	"devserver-agent/cmd/devserverctl/command"
)

// version is set when a release is built (-ldflags "-X main.version=...").
var version = "dev"

func main() { os.Exit(command.Main(version)) }
