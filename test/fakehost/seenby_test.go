package fakehost_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/test/fakehost"
)

// A fault that no task sees is one that no test goes through.
func TestEveryFaultIsSeenByATask(t *testing.T) {
	tasks := []fakehost.Task{fakehost.Upgrade, fakehost.Diagnosis, fakehost.LogCollection}
	for _, f := range fakehost.Faults() {
		if len(f.SeenBy) == 0 {
			t.Errorf("%s is seen by no task", f.Fault)
		}
		for _, task := range f.SeenBy {
			if !slices.Contains(tasks, task) {
				t.Errorf("%s is seen by %q, which asks Missing nowhere", f.Fault, task)
			}
		}
	}
}

// Faults has all that are declared.
func TestEveryFaultIsDescribed(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("fault.go"))
	if err != nil {
		t.Fatal(err)
	}
	var declared, described []string
	for _, match := range regexp.MustCompile(`(?m)^\t[A-Z]\w+ +Fault += "(\w+)"`).FindAllSubmatch(source, -1) {
		declared = append(declared, string(match[1]))
	}
	for _, f := range fakehost.Faults() {
		described = append(described, string(f.Fault))
	}
	slices.Sort(declared)
	slices.Sort(described)
	if diff := cmp.Diff(declared, described); diff != "" || len(declared) == 0 {
		t.Errorf("declared and described faults differ (-declared +described):\n%s", diff)
	}
}

func TestMissingNamesWhatIsNotTested(t *testing.T) {
	if got := fakehost.Missing(fakehost.LogCollection, []fakehost.Fault{fakehost.DriverDown, fakehost.CardHot}); !slices.Equal(got, []fakehost.Fault{fakehost.ReportHangs}) {
		t.Errorf("missing are %v", got)
	}
	if got := fakehost.Missing(fakehost.LogCollection, []fakehost.Fault{fakehost.ReportHangs, fakehost.DriverDown}); got != nil {
		t.Errorf("missing are %v", got)
	}
}
