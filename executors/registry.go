package executors

import (
	"fmt"
	"maps"
	"sort"

	"devserver-agent/protocol"
)

// Registry holds the executors of an agent by item type. The zero value has
// none. It is read-only once the agent runs.
type Registry struct{ byType map[string]Executor }

// NewRegistry returns a registry of the given executors.
func NewRegistry(byType map[string]Executor) Registry {
	r := Registry{byType: map[string]Executor{}}
	for name, e := range byType {
		if !protocol.ValidType(name) {
			panic(fmt.Sprintf("executors: %q is not a type name", name))
		}
		r.byType[name] = e
	}
	return r
}

// With is the registry with more executors, whose types it does not have yet.
func (r Registry) With(more map[string]Executor) Registry {
	all := maps.Clone(more)
	if all == nil {
		all = map[string]Executor{}
	}
	maps.Copy(all, r.byType)
	return NewRegistry(all)
}

// Only keeps the executors named in allow. An empty list allows all.
func (r Registry) Only(allow []string) (Registry, error) {
	if len(allow) == 0 {
		return r, nil
	}
	kept := map[string]Executor{}
	for _, name := range allow {
		e, ok := r.byType[name]
		if !ok {
			return Registry{}, fmt.Errorf("executors.allow names %q, which this agent does not have", name)
		}
		kept[name] = e
	}
	return Registry{byType: kept}, nil
}

// Lookup finds the executor of an item type and its description.
func (r Registry) Lookup(name string) (Executor, protocol.ItemType, bool) {
	e, ok := r.byType[name]
	if !ok {
		return nil, protocol.ItemType{}, false
	}
	return e, describe(name, e), true
}

// Types describes all executors, in order of their names.
func (r Registry) Types() []protocol.ItemType {
	types := make([]protocol.ItemType, 0, len(r.byType))
	for name, e := range r.byType {
		types = append(types, describe(name, e))
	}
	sort.Slice(types, func(i, j int) bool { return types[i].Type < types[j].Type })
	return types
}

func describe(name string, e Executor) protocol.ItemType {
	t, known := protocol.LookupType(name)
	if !known {
		t = protocol.ItemType{Type: name, Template: protocol.TemplateType(name), Exclusive: true, TimeoutSeconds: 3600}
	}
	if d, ok := e.(Describer); ok {
		described := d.Describe()
		described.Type = name
		if described.Template == "" {
			described.Template = t.Template
		}
		if described.TimeoutSeconds == 0 {
			described.TimeoutSeconds = t.TimeoutSeconds
		}
		t = described
	}
	return t
}
