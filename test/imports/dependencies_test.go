package imports

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheAgentsDependenciesAreListed lets no module into the agent's program
// that docs/dependencies.md does not show, so that a new one is seen in review.
// What each costs is measured by scripts/deps-cost and not checked.
func TestTheAgentsDependenciesAreListed(t *testing.T) {
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(page, -1) {
		listed = append(listed, string(row[1]))
	}
	var modules []string
	for _, p := range linked(t, "./cmd/devserver-agent") {
		if p.Module != nil && p.Module.Path+"/" != module {
			modules = append(modules, p.Module.Path)
		}
	}
	slices.Sort(modules)
	modules = slices.Compact(modules)
	slices.Sort(listed)
	if diff := cmp.Diff(listed, modules); diff != "" {
		t.Errorf("docs/dependencies.md is not what the agent links; scripts/deps-cost writes it (-page +linked):\n%s", diff)
	}
}
