// Command devserverctl is an operator's command line for a fleet of DevServers.
package main

import (
	"os"

	"devserver-agent/cmd/devserverctl/command"
)

func main() { os.Exit(command.Main()) }
