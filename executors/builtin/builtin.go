// Package builtin lists the executors that every agent has.
package builtin

import (
	"errors"
	"path/filepath"

	"devserver-agent/executors"
	"devserver-agent/executors/container"
	"devserver-agent/executors/diagnosis"
	"devserver-agent/executors/hdk"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/executors/logs"
	"devserver-agent/protocol"
)

// Options are what the executors need of an agent's configuration. The zero
// value describes all and is good for looking only.
type Options struct {
	// Repository is where HDK packages come from, as hdk.repository has it; "":
	// nowhere.
	Repository string
	// IndexKeys are whose signed index alone counts there; none: any index does.
	IndexKeys []protocol.Key
	// Engine is the host's container engine.
	Engine container.Engine
	// CardsAtOnce is how many cards are asked at a time, as hdk.cards_at_once has it;
	// 0: what each executor has without it.
	CardsAtOnce int
	// Hooks are run around upgrades.
	Hooks hdk.Hooks
	// StateDir is the agent's state directory; fetched packages are kept in its
	// folder packages.
	StateDir string
	// Root is the folder that is the host's /, as host.root has it; "" is /.
	Root string
	// ServerID is the host's, for the names of what it sends.
	ServerID string
	// Logs takes bundles of logs, in the bucket LogBucket; nil: they go to URLs only.
	Logs      logs.Store
	LogBucket string
	// Objects opens a bucket of an object store; nil: there is none.
	Objects func(bucket string) (repository.Source, error)
}

// All returns the built-in executors, a line each.
func All(o Options) executors.Registry {
	return executors.NewRegistry(map[string]executors.Executor{
		"DIAGNOSIS":      diagnosis.Diagnosis{Root: o.Root, Keep: filepath.Join(o.StateDir, "diagnosis"), AtOnce: o.CardsAtOnce},
		"COMMON":         container.Common{Engine: o.Engine},
		"SERVICE_DEPLOY": container.Deploy{Engine: o.Engine},
		"DEVICE_LOG_COLLECT": logs.Collect{
			Root: o.Root, StateDir: o.StateDir, ServerID: o.ServerID, Bucket: o.LogBucket, Store: o.Logs,
		},
		"HDK_QUERY": hdk.Query{AtOnce: o.CardsAtOnce},
		"HDK_UPGRADE": hdk.Upgrade{
			Source: source(o), Cache: &repository.Cache{Dir: filepath.Join(o.StateDir, "packages")}, AtOnce: o.CardsAtOnce, Hooks: o.Hooks,
		},
	})
}

// source is the repository. One that cannot be used fails the upgrade that wants
// it, with its reason, and not the agent.
func source(o Options) repository.Source {
	s, err := repository.Locate(o.Repository, o.Objects)
	switch {
	case errors.Is(err, repository.ErrNone):
		return nil
	case err != nil:
		return repository.Broken{Err: err}
	}
	if len(o.IndexKeys) > 0 {
		return repository.Signed{Source: s, Keys: o.IndexKeys}
	}
	return s
}
