package command

import (
	"context"
	"os"
	"time"

	"devserver-agent/agent/config"
	"devserver-agent/agent/objects"
	"devserver-agent/agent/step"
	"devserver-agent/executors"
	"devserver-agent/executors/builtin"
	"devserver-agent/executors/hdk"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/executors/plugin"
)

// Executors are the executors of an agent with this configuration.
func Executors(c config.Config) executors.Registry {
	broker := objects.Options{
		ServerID: c.ServerID, Servers: c.NATS.Servers, CredentialsFile: c.NATS.CredentialsFile,
		CAFile: c.NATS.CAFile, CertFile: c.NATS.CertFile, KeyFile: c.NATS.KeyFile,
	}
	o := builtin.Options{
		Repository: c.HDK.Repository, IndexKeys: c.IndexKeys(), StateDir: c.StateDir, Root: c.Host.Root, ServerID: c.ServerID, LogBucket: c.Logs.Bucket,
		CardsAtOnce: int(c.HDK.CardsAtOnce), // Load bounds it
		Hooks:       hdk.Hooks{Before: c.HDK.Before, After: c.HDK.After, Limit: time.Duration(c.HDK.HookTimeout)},
		Objects:     func(bucket string) (repository.Source, error) { return objects.New(broker, bucket) },
	}
	if c.Containers.Socket != "" {
		o.Engine.Sockets = []string{c.Containers.Socket}
	}
	if self, err := os.Executable(); err == nil { // else what needs it says that it is not found
		o.Engine.Program = []string{self, "container"}
	}
	if store, err := objects.New(broker, c.Logs.Bucket); err == nil { // else there is no broker or no bucket
		o.Logs = store
	}
	return builtin.All(o)
}

// plugins are the executors of the configured folder that are fit; the error names
// those that are not.
func (c *cli) plugins(cfg config.Config) (map[string]executors.Executor, error) {
	own := c.Registry(cfg)
	taken := func(kind string) bool {
		_, _, known := own.Lookup(kind)
		return known
	}
	tools := step.Tools{Root: cfg.Host.Root, Paths: cfg.ToolPaths()}
	return plugin.Load(context.Background(), tools, cfg.Executors.PluginDir, taken)
}
