package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// parallel is how many tests run at once: most of their time is spent waiting.
const parallel = "4"

var binaries string // folder of the programs under test

func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", parallel) // the flag exists
	}
	var err error
	if binaries, err = os.MkdirTemp("", "e2e-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	atEnd()
	_ = os.RemoveAll(binaries) // it is in the temporary folder
	os.Exit(code)
}

// atEnd is done after all tests.
var atEnd = func() {}

// program builds one, once a run.
func program(t testing.TB, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	// agentBinary is what is killed: with race detector and fail points.
	agentBinary = built("agent", "devserver-agent/test/e2e/agent", "-race", "-tags", "faults")
	// trialBinary is what steps start. It has no race detector, which would make
	// every program a second longer.
	trialBinary = built("trial", "devserver-agent/test/e2e/agent")
	// plainAgent is the agent as it is shipped, for what is measured.
	plainAgent   = built("devserver-agent", "devserver-agent/cmd/devserver-agent")
	controlPlane = built("devserver-controlplane", "devserver-agent/cmd/devserver-controlplane")
	brokerBinary = built("broker", "devserver-agent/test/e2e/broker")
	ctlBinary    = built("devserverctl", "devserver-agent/cmd/devserverctl")
)

func built(name, source string, flags ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		path := filepath.Join(binaries, name)
		args := append(append([]string{"build"}, flags...), "-o", path, source)
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", source, err, out)
		}
		return path, nil
	})
}
