package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"devserver-agent/controlplane/view"
)

// partial are the warnings about a disruptive job that takes in a part of a super node.
// All NPUs of one have to run the same driver (ModelArts, aics_bp_0103).
func partial(servers []string, v *view.View) []string {
	in := map[string]bool{}
	for _, id := range servers {
		in[id] = true
	}
	type halves struct{ in, out []string }
	nodes := map[string]halves{}
	for _, s := range v.Servers() {
		if s.Facts == nil || s.Facts.SuperNode == "" {
			continue
		}
		h := nodes[s.Facts.SuperNode]
		if in[s.ID] {
			h.in = append(h.in, s.ID)
		} else {
			h.out = append(h.out, s.ID)
		}
		nodes[s.Facts.SuperNode] = h
	}
	var said []string
	for _, node := range slices.SortedFunc(maps.Keys(nodes), cmp.Compare[string]) {
		if h := nodes[node]; len(h.in) > 0 && len(h.out) > 0 {
			said = append(said, fmt.Sprintf("super node %s: the job upgrades %d of its %d servers; all have to run one version, so upgrade these too: %s",
				node, len(h.in), len(h.in)+len(h.out), name(h.out)))
		}
	}
	return said
}
