// Package builtin lists the executors that every agent has.
package builtin

import (
	"devserver-agent/executors"
	"devserver-agent/executors/hdk"
)

// All returns the built-in executors, a line each.
func All() executors.Registry {
	return executors.NewRegistry(map[string]executors.Executor{
		"HDK_QUERY": hdk.Query{},
	})
}
