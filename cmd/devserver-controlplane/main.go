// Command devserver-controlplane serves the job API and delivers jobs to agents.
package main

import (
	"os"

	"devserver-agent/cmd/devserver-controlplane/command"
)

// version is set when a release is built (-ldflags "-X main.version=...").
var version = "dev"

func main() { os.Exit(command.Main(version)) }
