// Command devserver-agent is the daemon on a DevServer host, and what an
// operator runs there.
package main

import (
	"os"

	"devserver-agent/cmd/devserver-agent/command"
)

// version is set when a release is built (-ldflags "-X main.version=...").
var version = "dev"

func main() {
	os.Exit(command.Main(command.Options{
		Version:  version,
		Registry: command.Executors,
		Args:     os.Args[1:],
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
	}))
}
