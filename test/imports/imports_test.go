// Package imports keeps who may know whom. The tree is the architecture: imports
// go from cmd down to protocol, and what is dangerous on a host has one place.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "devserver-agent/"

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath                         string
	Dir                                string
	GoFiles, IgnoredGoFiles            []string
	Imports, TestImports, XTestImports []string
	Module                             *struct{ Path string }
}

// name is the import path inside this module.
func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// list asks go list from the module's root.
func list(args ...string) ([]pkg, error) {
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = "../.."
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(args, " "), err, complaints.String())
	}
	var found []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list %s: %w", strings.Join(args, " "), err)
		}
		found = append(found, p)
	}
}

var everything = sync.OnceValues(func() ([]pkg, error) { return list("-tags", "faults", "./...") })

// tree is every package of this module, the crash tests' files included.
func tree(t *testing.T) []pkg {
	t.Helper()
	return found(t)(everything())
}

// linked is every package in a program.
func linked(t *testing.T, program string) []pkg {
	t.Helper()
	return found(t)(list("-deps", program))
}

func found(t *testing.T) func([]pkg, error) []pkg {
	return func(packages []pkg, err error) []pkg {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if len(packages) < 5 {
			t.Fatalf("go list found only %d packages", len(packages))
		}
		return packages
	}
}

// under reports whether an import path inside this module is one of the folders
// or below one.
func under(name string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return name == folder || strings.HasPrefix(name, folder+"/")
	})
}

// rule is which folders of this module the packages below a folder may import.
type rule struct {
	folder string
	may    []string
}

// allowed is every rule. The first whose folder fits holds.
var allowed = []rule{
	{"protocol", []string{"protocol"}},
	{"executors", []string{"executors", "protocol"}},
	{"agent", []string{"agent", "executors", "protocol"}},
	{"controlplane", []string{"controlplane", "protocol"}},
	{"cmd/devserver-agent", []string{"cmd/devserver-agent", "agent", "executors", "protocol"}},
	{"cmd/devserver-controlplane", []string{"cmd/devserver-controlplane", "controlplane", "protocol"}},
	{"cmd/devserverctl", []string{"cmd/devserverctl", "executors/hdk/repository", "executors/web", "protocol"}},
	{"docs/gen", []string{"protocol"}},
	{"packaging/gen", []string{"agent", "cmd"}},
	{"docs/example-executor", []string{"executors", "protocol"}},
	{"test", []string{"agent", "cmd", "controlplane", "executors", "protocol", "test"}},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range tree(t) {
		at := slices.IndexFunc(allowed, func(r rule) bool { return under(p.name(), r.folder) })
		if at < 0 {
			t.Errorf("%s is in a folder that has no rule here", p.name())
			continue
		}
		for _, imported := range p.Imports {
			if name, ours := strings.CutPrefix(imported, module); ours && !under(name, allowed[at].may...) {
				t.Errorf("%s imports %s; below %s only %s may be", p.name(), name, allowed[at].folder, strings.Join(allowed[at].may, ", "))
			}
		}
	}
}

func TestTheAgentAndTheControlPlaneNeverSeeEachOther(t *testing.T) {
	for program, other := range map[string]string{
		"./cmd/devserver-agent": "controlplane", "./cmd/devserver-controlplane": "agent",
		"./cmd/devserverctl": "agent",
	} {
		for _, p := range linked(t, program) {
			if under(p.name(), other) && strings.HasPrefix(p.ImportPath, module) {
				t.Errorf("%s links %s", program, p.name())
			}
		}
	}
}

// TestTestsKeepToTheirSide holds tests to the same split: one that needs both
// sides is an end-to-end test and belongs below test.
func TestTestsKeepToTheirSide(t *testing.T) {
	for _, p := range tree(t) {
		for folder, other := range map[string]string{"agent": "controlplane", "controlplane": "agent", "executors": "agent", "protocol": "executors"} {
			if !under(p.name(), folder) {
				continue
			}
			for _, imported := range append(p.TestImports, p.XTestImports...) {
				if name, ours := strings.CutPrefix(imported, module); ours && under(name, other) {
					t.Errorf("the tests of %s import %s", p.name(), name)
				}
			}
		}
	}
}

func TestOnlyStepsAndTestsStartPrograms(t *testing.T) {
	for _, p := range tree(t) {
		if slices.Contains(p.Imports, "os/exec") && !under(p.name(), "agent/step", "test") {
			t.Errorf("%s imports os/exec; programs are started by agent/step", p.name())
		}
	}
}

func TestTheProtocolDoesNoIO(t *testing.T) {
	for _, p := range tree(t) {
		if !under(p.name(), "protocol") {
			continue
		}
		for _, imported := range p.Imports {
			if imported == "os" || imported == "log" || imported == "net" || imported == "syscall" || imported == "unsafe" ||
				strings.HasPrefix(imported, "os/") || strings.HasPrefix(imported, "net/") || strings.HasPrefix(imported, "golang.org/x/sys/") {
				t.Errorf("%s imports %s", p.name(), imported)
			}
		}
	}
}

func TestTheAgentsProgramLinksNoServer(t *testing.T) {
	for _, p := range linked(t, "./cmd/devserver-agent") {
		for _, heavy := range []string{
			"github.com/nats-io/nats-server/", "github.com/prometheus/client_golang/", "github.com/santhosh-tekuri/jsonschema/",
			"github.com/huaweicloud/", "devserver-agent/test",
		} {
			if strings.HasPrefix(p.ImportPath, heavy) {
				t.Errorf("it links %s", p.ImportPath)
			}
		}
		if p.ImportPath == "testing" || p.ImportPath == "net/http/pprof" || p.ImportPath == "expvar" {
			t.Errorf("it links %s", p.ImportPath)
		}
	}
}
