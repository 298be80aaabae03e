package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"devserver-agent/controlplane/view"
	"devserver-agent/protocol"
)

// warnings are what a user should know of a job that was made all the same. All NPUs
// of one super node have to run the same driver (ModelArts, aics_bp_0103), so one that
// is upgraded in part is worth a word.
func warnings(items []protocol.Item, servers []string, v *view.View) []string {
	if !slices.ContainsFunc(items, func(i protocol.Item) bool { return i.Type == "HDK_UPGRADE" }) {
		return nil
	}
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
