// Command devserver-agent is the daemon on a DevServer host, and what an
// operator runs there.
package main

import (
	"os"

	"devserver-agent/agent/config"
	"devserver-agent/agent/objects"
	"devserver-agent/cmd/devserver-agent/command"
	"devserver-agent/executors"
	"devserver-agent/executors/builtin"
	"devserver-agent/executors/hdk/repository"
)

// registry holds the executors of an agent with this configuration.
func registry(c config.Config) executors.Registry {
	broker := objects.Options{
		ServerID: c.ServerID, Servers: c.NATS.Servers, CredentialsFile: c.NATS.CredentialsFile,
		CAFile: c.NATS.CAFile, CertFile: c.NATS.CertFile, KeyFile: c.NATS.KeyFile,
	}
	return builtin.All(builtin.Options{
		Repository: c.HDK.Repository, StateDir: c.StateDir, Root: c.Host.Root,
		Objects: func(bucket string) (repository.Source, error) { return objects.New(broker, bucket) },
	})
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
